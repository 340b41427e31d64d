/** Hash tables by priority, made when first needed and kept until membership or weights change; health does not count. */
import type { LiveLocality } from "./endpoint-set.ts";
import type { HashMember, HashTable } from "./hash-table.ts";
import type { LiveEndpoint } from "./live-endpoint.ts";
import { createMaglev } from "./maglev.ts";
import type { Algorithm, Cluster } from "./model.ts";
import type { LevelTable } from "./picker.ts";
import { createRing } from "./ring-hash.ts";

interface Kept extends LevelTable {
  /** What the table was made of. */
  readonly localities: readonly LiveLocality[];
  readonly hashed: readonly HashMember[];
  readonly algorithm: Algorithm;
}

export class LevelTables {
  readonly #kept: Kept[] = [];

  /** Undefined when the algorithm does not hash. */
  tableOf(
    level: number,
    localities: readonly LiveLocality[],
    { algorithm, localityWeighted }: Pick<Cluster, "algorithm" | "localityWeighted">,
  ): LevelTable | undefined {
    if (algorithm.kind !== "ring-hash" && algorithm.kind !== "maglev") return undefined;
    const kept = this.#kept[level];
    if (kept?.localities === localities && kept.algorithm === algorithm) return kept;
    const { members, hashed } = membersOf(localities, localityWeighted);
    const reusable = kept !== undefined && sameAlgorithm(kept.algorithm, algorithm) && sameMembers(kept.hashed, hashed);
    const table = reusable ? kept.table : createTable(algorithm, hashed);
    const made = { localities, hashed, algorithm, members, table };
    this.#kept[level] = made;
    return made;
  }
}

function createTable(
  algorithm: Extract<Algorithm, { kind: "ring-hash" | "maglev" }>,
  members: readonly HashMember[],
): HashTable {
  return algorithm.kind === "maglev" ? createMaglev(members, algorithm.tableSize) : createRing(members, algorithm);
}

/**
 * By name, so that replicas that were told of the endpoints in another order agree. A locality's weight is spread over
 * its endpoints by theirs.
 */
function membersOf(
  localities: readonly LiveLocality[],
  localityWeighted: boolean,
): { members: readonly LiveEndpoint[]; hashed: readonly HashMember[] } {
  const usesLocalities = localityWeighted && localities.some(({ weight }) => weight > 0);
  const weighted = localities.flatMap((locality) => {
    const sum = locality.members.reduce((total, { endpoint }) => total + endpoint.weight, 0);
    const scale = usesLocalities ? locality.weight / sum : 1;
    return locality.members.map((live) => ({ live, name: live.key, weight: live.endpoint.weight * scale }));
  });
  const inUse = weighted.filter(({ weight }) => weight > 0).sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    members: inUse.map(({ live }) => live),
    hashed: inUse.map(({ name, weight }) => ({ name, weight })),
  };
}

function sameMembers(a: readonly HashMember[], b: readonly HashMember[]): boolean {
  return a.length === b.length && a.every(({ name, weight }, i) => name === b[i]?.name && weight === b[i]?.weight);
}

function sameAlgorithm(a: Algorithm, b: Algorithm): boolean {
  if (a.kind === "maglev" && b.kind === "maglev") return a.tableSize === b.tableSize;
  if (a.kind !== "ring-hash" || b.kind !== "ring-hash") return false;
  return a.minimumRing === b.minimumRing && a.maximumRing === b.maximumRing;
}
