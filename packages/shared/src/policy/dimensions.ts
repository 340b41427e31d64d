import { type Cidr, CidrMap, type IpBits } from "../net/index.ts";
import { Buckets } from "./buckets.ts";
import type { CidrMatcher, CompiledMatch, CompiledRule, StringMatcher } from "./compile.ts";
import type { ConnectionFacts } from "./evaluate.ts";

/** Stops the search by returning true. */
export type TestRule = (rule: CompiledRule) => boolean;

/**
 * One field of a match as an index: a rule filed under the values of that field is found by exactly the connections
 * for which one of the values hits.
 */
export interface Dimension {
  /** How many rules already lie where this match would; undefined when the match cannot be filed here. */
  weigh(match: CompiledMatch): number | undefined;
  add(match: CompiledMatch, rule: CompiledRule): void;
  remove(match: CompiledMatch, rule: CompiledRule): void;
  /** Tests the rules filed under what the connection is; true when a test returned true. */
  visit(facts: ConnectionFacts, test: TestRule): boolean;
}

/** Exact, prefix, suffix and presence matchers of one text. */
export class TextDimension implements Dimension {
  readonly #matcherOf: (match: CompiledMatch) => StringMatcher | undefined;
  readonly #textOf: (facts: ConnectionFacts) => string | undefined;
  readonly #exact = new Buckets<string, CompiledRule>();
  readonly #prefixes = new Affixes((value, length) => value.slice(0, length));
  readonly #suffixes = new Affixes((value, length) => value.slice(value.length - length));
  readonly #present = new Buckets<true, CompiledRule>();

  constructor(
    matcherOf: (match: CompiledMatch) => StringMatcher | undefined,
    textOf: (facts: ConnectionFacts) => string | undefined,
  ) {
    this.#matcherOf = matcherOf;
    this.#textOf = textOf;
  }

  weigh(match: CompiledMatch): number | undefined {
    const matcher = this.#matcherOf(match);
    if (!matcher) return undefined;
    let weight = matcher.presence ? (this.#present.get(true)?.length ?? 0) : 0;
    for (const value of matcher.exact) weight += this.#exact.get(value)?.length ?? 0;
    for (const value of matcher.prefixes) weight += this.#prefixes.count(value);
    for (const value of matcher.suffixes) weight += this.#suffixes.count(value);
    return weight;
  }

  add(match: CompiledMatch, rule: CompiledRule): void {
    const matcher = this.#matcherOf(match);
    if (!matcher) return;
    for (const value of matcher.exact) this.#exact.add(value, rule);
    for (const value of matcher.prefixes) this.#prefixes.add(value, rule);
    for (const value of matcher.suffixes) this.#suffixes.add(value, rule);
    if (matcher.presence) this.#present.add(true, rule);
  }

  remove(match: CompiledMatch, rule: CompiledRule): void {
    const matcher = this.#matcherOf(match);
    if (!matcher) return;
    for (const value of matcher.exact) this.#exact.remove(value, rule);
    for (const value of matcher.prefixes) this.#prefixes.remove(value, rule);
    for (const value of matcher.suffixes) this.#suffixes.remove(value, rule);
    if (matcher.presence) this.#present.remove(true, rule);
  }

  visit(facts: ConnectionFacts, test: TestRule): boolean {
    const value = this.#textOf(facts);
    if (value === undefined) return false;
    if (testAll(this.#exact.get(value), test)) return true;
    if (value !== "" && testAll(this.#present.get(true), test)) return true;
    return this.#prefixes.visit(value, test) || this.#suffixes.visit(value, test);
  }
}

/** Rules by the beginning (or end) of a text: one lookup per distinct length in use. */
class Affixes {
  readonly #cut: (value: string, length: number) => string;
  readonly #byLength = new Map<number, Buckets<string, CompiledRule>>();

  constructor(cut: (value: string, length: number) => string) {
    this.#cut = cut;
  }

  count(affix: string): number {
    return this.#byLength.get(affix.length)?.get(affix)?.length ?? 0;
  }

  add(affix: string, rule: CompiledRule): void {
    const buckets = this.#byLength.get(affix.length) ?? new Buckets<string, CompiledRule>();
    this.#byLength.set(affix.length, buckets);
    buckets.add(affix, rule);
  }

  remove(affix: string, rule: CompiledRule): void {
    const buckets = this.#byLength.get(affix.length);
    buckets?.remove(affix, rule);
    if (buckets?.isEmpty) this.#byLength.delete(affix.length);
  }

  visit(value: string, test: TestRule): boolean {
    for (const [length, buckets] of this.#byLength) {
      if (length <= value.length && testAll(buckets.get(this.#cut(value, length)), test)) return true;
    }
    return false;
  }
}

/** Sets compared for equality: service accounts, ports. */
export class SetDimension<Key> implements Dimension {
  readonly #keysOf: (match: CompiledMatch) => ReadonlySet<Key> | undefined;
  readonly #keyOf: (facts: ConnectionFacts) => Key | undefined;
  readonly #rules = new Buckets<Key, CompiledRule>();

  constructor(
    keysOf: (match: CompiledMatch) => ReadonlySet<Key> | undefined,
    keyOf: (facts: ConnectionFacts) => Key | undefined,
  ) {
    this.#keysOf = keysOf;
    this.#keyOf = keyOf;
  }

  weigh(match: CompiledMatch): number | undefined {
    const keys = this.#keysOf(match);
    if (!keys) return undefined;
    let weight = 0;
    for (const key of keys) weight += this.#rules.get(key)?.length ?? 0;
    return weight;
  }

  add(match: CompiledMatch, rule: CompiledRule): void {
    for (const key of this.#keysOf(match) ?? []) this.#rules.add(key, rule);
  }

  remove(match: CompiledMatch, rule: CompiledRule): void {
    for (const key of this.#keysOf(match) ?? []) this.#rules.remove(key, rule);
  }

  visit(facts: ConnectionFacts, test: TestRule): boolean {
    const key = this.#keyOf(facts);
    return key !== undefined && testAll(this.#rules.get(key), test);
  }
}

export class CidrDimension implements Dimension {
  readonly #matcherOf: (match: CompiledMatch) => CidrMatcher | undefined;
  readonly #addressOf: (facts: ConnectionFacts) => IpBits;
  readonly #rules = new CidrMap<CompiledRule>();

  constructor(
    matcherOf: (match: CompiledMatch) => CidrMatcher | undefined,
    addressOf: (facts: ConnectionFacts) => IpBits,
  ) {
    this.#matcherOf = matcherOf;
    this.#addressOf = addressOf;
  }

  weigh(match: CompiledMatch): number | undefined {
    const weightOf = (sum: number, cidr: Cidr): number => sum + this.#rules.at(cidr).length;
    return this.#matcherOf(match)?.cidrs.reduce(weightOf, 0);
  }

  add(match: CompiledMatch, rule: CompiledRule): void {
    for (const cidr of this.#matcherOf(match)?.cidrs ?? []) this.#rules.add(cidr, rule);
  }

  remove(match: CompiledMatch, rule: CompiledRule): void {
    for (const cidr of this.#matcherOf(match)?.cidrs ?? []) this.#rules.remove(cidr, rule);
  }

  visit(facts: ConnectionFacts, test: TestRule): boolean {
    return !this.#rules.isEmpty && this.#rules.visit(this.#addressOf(facts), (rules) => testAll(rules, test));
  }
}

function testAll(rules: readonly CompiledRule[] | undefined, test: TestRule): boolean {
  if (rules) for (const rule of rules) if (test(rule)) return true;
  return false;
}
