/**
 * Finds the policies that may match a request without asking the others: each is filed under the least crowded of its
 * necessary conditions. Finding too many costs time only; `matches` decides.
 */
import { asciiLowerCase } from "../route/matcher.ts";
import type { IndexKey, IndexKeys, RbacPolicy } from "./model.ts";
import type { PolicyFacts } from "./policy-facts.ts";

/** Below this a look at every policy is as quick. */
const WORTH_INDEXING = 8;

type Dimension = IndexKey["dimension"];

/** Policies by text; for prefixes and suffixes the lengths in use, so that a lookup costs one map access per length. */
interface Shelf {
  readonly byText: Map<string, RbacPolicy[]>;
  readonly lengths: number[];
}

type Shelves = Readonly<Record<IndexKey["kind"], Shelf>>;

export class PolicyIndex {
  readonly #shelves = new Map<Dimension, Shelves>();
  readonly #unfiled: RbacPolicy[] = [];

  constructor(policies: readonly RbacPolicy[]) {
    const files = policies.length > WORTH_INDEXING;
    for (const policy of policies) {
      const keys = files ? this.#leastCrowded(policy.necessary ?? []) : undefined;
      if (keys === undefined) this.#unfiled.push(policy);
      for (const key of keys ?? []) this.#file(key, policy);
    }
  }

  /** The first policy found that matches; which one of several is stable for the same list. */
  findMatch(facts: PolicyFacts): RbacPolicy | undefined {
    for (const [dimension, shelves] of this.#shelves) {
      for (const text of textsOf(dimension, facts)) {
        const found = findOnShelves(shelves, text, facts);
        if (found !== undefined) return found;
      }
    }
    return firstMatch(this.#unfiled, facts);
  }

  #leastCrowded(alternatives: readonly IndexKeys[]): IndexKeys | undefined {
    let best: { keys: IndexKeys; crowd: number } | undefined;
    for (const keys of alternatives) {
      const crowd = keys.reduce((sum, key) => sum + this.#crowdAt(key), keys.length);
      if (best === undefined || crowd < best.crowd) best = { keys, crowd };
    }
    return best?.keys;
  }

  #crowdAt(key: IndexKey): number {
    return this.#shelves.get(key.dimension)?.[key.kind].byText.get(key.text)?.length ?? 0;
  }

  #file(key: IndexKey, policy: RbacPolicy): void {
    let shelves = this.#shelves.get(key.dimension);
    if (shelves === undefined) {
      shelves = { exact: newShelf(), prefix: newShelf(), suffix: newShelf() };
      this.#shelves.set(key.dimension, shelves);
    }
    const shelf = shelves[key.kind];
    const filed = shelf.byText.get(key.text);
    if (filed !== undefined) {
      if (filed.at(-1) !== policy) filed.push(policy);
      return;
    }
    shelf.byText.set(key.text, [policy]);
    if (key.kind !== "exact" && !shelf.lengths.includes(key.text.length)) shelf.lengths.push(key.text.length);
  }
}

/** One index per list: a model keeps its lists, and they never change. */
const indexes = new WeakMap<readonly RbacPolicy[], PolicyIndex>();

export function indexOf(policies: readonly RbacPolicy[]): PolicyIndex {
  let index = indexes.get(policies);
  if (index === undefined) {
    index = new PolicyIndex(policies);
    indexes.set(policies, index);
  }
  return index;
}

const newShelf = (): Shelf => ({ byText: new Map(), lengths: [] });

function firstMatch(policies: readonly RbacPolicy[] | undefined, facts: PolicyFacts): RbacPolicy | undefined {
  if (policies !== undefined) for (const policy of policies) if (policy.matches(facts)) return policy;
  return undefined;
}

function findOnShelves(shelves: Shelves, text: string, facts: PolicyFacts): RbacPolicy | undefined {
  const { exact, prefix, suffix } = shelves;
  let found = firstMatch(exact.byText.get(text), facts);
  for (const length of prefix.lengths) {
    if (found !== undefined) return found;
    if (length <= text.length) found = firstMatch(prefix.byText.get(text.slice(0, length)), facts);
  }
  for (const length of suffix.lengths) {
    if (found !== undefined) return found;
    if (length <= text.length) found = firstMatch(suffix.byText.get(text.slice(text.length - length)), facts);
  }
  return found;
}

/** What a request shows in a dimension, in the keys' form; a path may be read in two ways. */
function textsOf(dimension: Dimension, facts: PolicyFacts): readonly string[] {
  if (dimension === "port") return [String(facts.destinationPort)];
  if (dimension === "path") {
    if (facts.path === undefined) return [];
    const { raw, bare } = facts.path;
    return (raw === bare ? [raw] : [raw, bare]).map(asciiLowerCase);
  }
  const text = textOf(dimension, facts);
  return text === undefined ? [] : [asciiLowerCase(text)];
}

function textOf(dimension: Exclude<Dimension, "port" | "path">, facts: PolicyFacts): string | undefined {
  const { account } = facts;
  switch (dimension) {
    case "principal":
      return facts.peerPrincipal;
    case "namespace":
      return account?.namespace;
    case "account":
      return account && `${account.namespace}/${account.serviceAccount}`;
    case "authority":
      return pseudoHeader(":authority", facts);
    case "method":
      return pseudoHeader(":method", facts);
    default:
      return dimension satisfies never;
  }
}

/** From where matchers read it. */
const pseudoHeader = (name: string, facts: PolicyFacts): string | undefined =>
  facts.http?.headers.find(([candidate]) => candidate === name)?.[1];
