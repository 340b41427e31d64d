import { describe, expect, it } from "@jest/globals";
import type { LiveLocality } from "./endpoint-set.ts";
import { LevelTables } from "./level-tables.ts";
import { LiveEndpoint } from "./live-endpoint.ts";
import type { Algorithm } from "./model.ts";
import { buildEndpoint } from "./test-cluster.ts";

const MAGLEV: Algorithm = { kind: "maglev", tableSize: 1_009 };
const asCluster = (algorithm: Algorithm, localityWeighted = false) => ({ algorithm, localityWeighted });
const localityOf = (numbers: readonly number[], weight = 0, endpointWeight = 1): LiveLocality => ({
  weight,
  members: numbers.map((n) => new LiveEndpoint(buildEndpoint(n, { weight: endpointWeight }), 0, 0)),
});

describe("LevelTables", () => {
  it("makes a table once for a membership, in whatever order and however often it is told", () => {
    const tables = new LevelTables();
    const first = tables.tableOf(0, [localityOf([1, 2, 3])], asCluster(MAGLEV));
    const again = tables.tableOf(0, [localityOf([3, 1, 2])], asCluster({ ...MAGLEV }));
    expect(again?.table).toBe(first?.table);
    expect(again?.members.map(({ key }) => key)).toEqual(first?.members.map(({ key }) => key));
    // The members are those of the latest membership: their load is what counts.
    expect(again?.members[0]).not.toBe(first?.members[0]);
  });

  it.each([
    ["an endpoint joins", [localityOf([1, 2, 3, 4])], asCluster(MAGLEV)],
    ["a weight changes", [localityOf([1, 2, 3], 0, 2)], asCluster(MAGLEV)],
    ["the size changes", [localityOf([1, 2, 3])], asCluster({ kind: "maglev", tableSize: 2_003 })],
    [
      "the algorithm changes",
      [localityOf([1, 2, 3])],
      asCluster({ kind: "ring-hash", minimumRing: 64, maximumRing: 64 }),
    ],
  ] as const)("makes another when %s", (_, localities, cluster) => {
    const tables = new LevelTables();
    const first = tables.tableOf(0, [localityOf([1, 2, 3])], asCluster(MAGLEV));
    expect(tables.tableOf(0, localities, cluster)?.table).not.toBe(first?.table);
  });

  it("leaves out localities of weight 0 when localities are weighted, unless all are", () => {
    const tables = new LevelTables();
    const localities = [localityOf([1, 2], 3), localityOf([3], 0)];
    expect(tables.tableOf(0, localities, asCluster(MAGLEV, true))?.members).toHaveLength(2);
    const unweighted = [localityOf([1, 2], 0), localityOf([3], 0)];
    expect(tables.tableOf(1, unweighted, asCluster(MAGLEV, true))?.members).toHaveLength(3);
  });

  it("has none for algorithms that do not hash", () => {
    expect(new LevelTables().tableOf(0, [localityOf([1])], asCluster({ kind: "random" }))).toBeUndefined();
  });
});
