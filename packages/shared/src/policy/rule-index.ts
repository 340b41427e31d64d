import { Buckets } from "./buckets.ts";
import type { CompiledClause, CompiledMatch, CompiledRule } from "./compile.ts";
import { CidrDimension, type Dimension, SetDimension, type TestRule, TextDimension } from "./dimensions.ts";
import type { ConnectionFacts } from "./evaluate.ts";
import { ExceptionDimension } from "./exception-dimension.ts";

/** Where one match of a rule is filed. */
interface Filing {
  readonly match: CompiledMatch;
  readonly dimension: Dimension;
}

/**
 * Finds the rules that may hold for a connection without visiting the others. Each rule is filed under one of its
 * clauses, each match of that clause under one of its fields: whichever lies least crowded now, so that ten
 * thousand rules of one principal are told apart by their ports. A rule without clauses is visited always.
 * Finding too much costs time only: `ruleHolds` decides.
 */
export class RuleIndex {
  /** Most telling first: ties go to the earlier one. */
  readonly #dimensions: readonly Dimension[] = [
    new SetDimension(
      (match) => match.serviceAccounts,
      (facts) => facts.account,
    ),
    new TextDimension(
      (match) => match.principals,
      (facts) => facts.principal,
    ),
    new CidrDimension(
      (match) => match.sourceIps,
      (facts) => facts.source,
    ),
    new TextDimension(
      (match) => match.namespaces,
      (facts) => facts.namespace,
    ),
    new SetDimension(
      (match) => match.destinationPorts,
      (facts) => facts.port,
    ),
    new CidrDimension(
      (match) => match.destinationIps,
      (facts) => facts.destination,
    ),
    new SetDimension(noIdentity, (facts) => facts.principal === undefined),
    new ExceptionDimension(),
  ];

  readonly #always = new Buckets<true, CompiledRule>();
  readonly #filings = new Map<CompiledRule, readonly Filing[]>();

  add(rule: CompiledRule): void {
    const filings = this.#choose(rule);
    this.#filings.set(rule, filings ?? []);
    if (!filings) this.#always.add(true, rule);
    for (const { match, dimension } of filings ?? []) dimension.add(match, rule);
  }

  remove(rule: CompiledRule): void {
    for (const { match, dimension } of this.#filings.get(rule) ?? []) dimension.remove(match, rule);
    this.#always.remove(true, rule);
    this.#filings.delete(rule);
  }

  /** Runs `test` on every rule that may hold, some twice, until it returns true. */
  visit(facts: ConnectionFacts, test: TestRule): boolean {
    if (this.#filings.size === 0) return false;
    for (const dimension of this.#dimensions) if (dimension.visit(facts, test)) return true;
    return this.#always.get(true)?.some(test) ?? false;
  }

  /** The cheapest clause's filings; undefined when no clause can be filed. */
  #choose(rule: CompiledRule): readonly Filing[] | undefined {
    let best: { filings: readonly Filing[]; weight: number } | undefined;
    for (const clause of rule.clauses) {
      const option = this.#file(clause);
      if (option && (!best || option.weight < best.weight)) best = option;
    }
    return best?.filings;
  }

  /** A clause without matches is false: filed nowhere, its rule is never found. */
  #file(clause: CompiledClause): { filings: readonly Filing[]; weight: number } | undefined {
    const filings: Filing[] = [];
    let total = 0;
    for (const match of clause) {
      let least: { dimension: Dimension; weight: number } | undefined;
      for (const dimension of this.#dimensions) {
        const weight = dimension.weigh(match);
        if (weight !== undefined && (!least || weight < least.weight)) least = { dimension, weight };
      }
      if (!least) return undefined;
      filings.push({ match, dimension: least.dimension });
      total += least.weight;
    }
    return { filings, weight: total };
  }
}

const TRUE: ReadonlySet<boolean> = new Set([true]);

/** Matches that hold only for connections without an identity, like the DENY that STRICT mTLS becomes. */
const noIdentity = (match: CompiledMatch): ReadonlySet<boolean> | undefined =>
  match.notPrincipals?.presence ? TRUE : undefined;
