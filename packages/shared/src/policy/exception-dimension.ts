import { formatCidr } from "../net/index.ts";
import type { CidrMatcher, CompiledMatch, CompiledRule, StringMatcher } from "./compile.ts";
import type { Dimension, TestRule } from "./dimensions.ts";
import { type ConnectionFacts, matchHolds } from "./evaluate.ts";

/**
 * Matches of `not` fields alone ("everything except ..."). They hold for most connections, so there is no value to
 * look up; but equal ones hold or fail together, and are judged once. What remains is a linear search over the
 * distinct ones that except this connection, and it ends at the first that does not.
 */
export class ExceptionDimension implements Dimension {
  readonly #groups = new Map<string, { readonly match: CompiledMatch; readonly rules: Set<CompiledRule> }>();

  weigh(match: CompiledMatch): number | undefined {
    return hasWanted(match) ? undefined : (this.#groups.get(keyOf(match))?.rules.size ?? 0);
  }

  add(match: CompiledMatch, rule: CompiledRule): void {
    const key = keyOf(match);
    const group = this.#groups.get(key) ?? { match, rules: new Set() };
    this.#groups.set(key, group);
    group.rules.add(rule);
  }

  remove(match: CompiledMatch, rule: CompiledRule): void {
    const key = keyOf(match);
    const group = this.#groups.get(key);
    group?.rules.delete(rule);
    if (group?.rules.size === 0) this.#groups.delete(key);
  }

  visit(facts: ConnectionFacts, test: TestRule): boolean {
    for (const { match, rules } of this.#groups.values()) {
      if (!matchHolds(match, facts)) continue;
      for (const rule of rules) if (test(rule)) return true;
    }
    return false;
  }
}

function hasWanted(match: CompiledMatch): boolean {
  return (
    match.principals !== undefined ||
    match.serviceAccounts !== undefined ||
    match.namespaces !== undefined ||
    match.sourceIps !== undefined ||
    match.destinationIps !== undefined ||
    match.destinationPorts !== undefined
  );
}

/** Equal for matches that except the same. */
function keyOf(match: CompiledMatch): string {
  return JSON.stringify([
    textKey(match.notPrincipals),
    textKey(match.notNamespaces),
    [...(match.notServiceAccounts ?? [])].sort(),
    cidrKey(match.notSourceIps),
    cidrKey(match.notDestinationIps),
    [...(match.notDestinationPorts ?? [])].sort(),
  ]);
}

const textKey = (matcher: StringMatcher | undefined) =>
  matcher && [[...matcher.exact].sort(), [...matcher.prefixes].sort(), [...matcher.suffixes].sort(), matcher.presence];
const cidrKey = (matcher: CidrMatcher | undefined) => matcher?.cidrs.map(formatCidr).sort();
