import { type Cidr, CidrMap, parseCidr } from "../net/index.ts";
import {
  type AuthorizationPolicy,
  type PolicyClause,
  type PolicyMatch,
  policyKey,
  type ServiceAccountMatch,
  type StringMatch,
} from "./model.ts";

/** A policy in the form connections are judged by. */
export interface CompiledPolicy {
  readonly key: string;
  readonly policy: AuthorizationPolicy;
  readonly rules: readonly CompiledRule[];
}

/** Clauses, ANDed; those that are always true are left out. */
export interface CompiledRule {
  readonly policy: CompiledPolicy;
  readonly clauses: readonly CompiledClause[];
}

/** Matches, ORed; none means false, because clauses that are always true are left out. */
export type CompiledClause = readonly CompiledMatch[];

/** Fields, ANDed; at least one is set. */
export interface CompiledMatch {
  readonly namespaces?: StringMatcher;
  readonly notNamespaces?: StringMatcher;
  readonly principals?: StringMatcher;
  readonly notPrincipals?: StringMatcher;
  /** `namespace/account` texts: neither part can hold a slash. */
  readonly serviceAccounts?: ReadonlySet<string>;
  readonly notServiceAccounts?: ReadonlySet<string>;
  readonly sourceIps?: CidrMatcher;
  readonly notSourceIps?: CidrMatcher;
  readonly destinationIps?: CidrMatcher;
  readonly notDestinationIps?: CidrMatcher;
  readonly destinationPorts?: ReadonlySet<number>;
  readonly notDestinationPorts?: ReadonlySet<number>;
}

export interface StringMatcher {
  readonly exact: ReadonlySet<string>;
  readonly prefixes: readonly string[];
  readonly suffixes: readonly string[];
  readonly presence: boolean;
}

export interface CidrMatcher {
  readonly cidrs: readonly Cidr[];
  readonly table: CidrMap<true>;
}

/**
 * @throws TypeError when a CIDR text does not parse; policies come from `policyFromProto` or a compiler, both of
 * which made it from a prefix
 */
export function compilePolicy(policy: AuthorizationPolicy): CompiledPolicy {
  const rules: CompiledRule[] = [];
  const compiled: CompiledPolicy = { key: policyKey(policy), policy, rules };
  for (const rule of policy.rules) {
    const clauses = rule.filter((clause) => clause.length > 0).map(compileClause);
    rules.push({ policy: compiled, clauses });
  }
  return compiled;
}

/** The key of a service account in a set. */
export const accountKey = (account: ServiceAccountMatch): string => `${account.namespace}/${account.serviceAccount}`;

function compileClause(clause: PolicyClause): CompiledClause {
  // A match with nothing set is skipped, and a clause of only such matches is false.
  return clause.map(compileMatch).filter((match) => Object.keys(match).length > 0);
}

function compileMatch(match: PolicyMatch): CompiledMatch {
  return {
    ...field("namespaces", match.namespaces, stringMatcher),
    ...field("notNamespaces", match.notNamespaces, stringMatcher),
    ...field("principals", match.principals, stringMatcher),
    ...field("notPrincipals", match.notPrincipals, stringMatcher),
    ...field("serviceAccounts", match.serviceAccounts, accountSet),
    ...field("notServiceAccounts", match.notServiceAccounts, accountSet),
    ...field("sourceIps", match.sourceIps, cidrMatcher),
    ...field("notSourceIps", match.notSourceIps, cidrMatcher),
    ...field("destinationIps", match.destinationIps, cidrMatcher),
    ...field("notDestinationIps", match.notDestinationIps, cidrMatcher),
    ...field("destinationPorts", match.destinationPorts, portSet),
    ...field("notDestinationPorts", match.notDestinationPorts, portSet),
  };
}

/** An absent or empty list leaves the field out. */
function field<Name extends string, Item, Compiled>(
  name: Name,
  list: readonly Item[] | undefined,
  compile: (list: readonly Item[]) => Compiled,
): { readonly [K in Name]?: Compiled } {
  if (!list || list.length === 0) return {};
  return { [name]: compile(list) } as { readonly [K in Name]?: Compiled };
}

function stringMatcher(list: readonly StringMatch[]): StringMatcher {
  const valuesOf = (kind: "exact" | "prefix" | "suffix"): string[] =>
    list.flatMap((match) => (match.kind === kind ? [match.value] : []));
  return {
    exact: new Set(valuesOf("exact")),
    prefixes: [...new Set(valuesOf("prefix"))],
    suffixes: [...new Set(valuesOf("suffix"))],
    presence: list.some((match) => match.kind === "presence"),
  };
}

const accountSet = (list: readonly ServiceAccountMatch[]): ReadonlySet<string> => new Set(list.map(accountKey));
const portSet = (list: readonly number[]): ReadonlySet<number> => new Set(list);

function cidrMatcher(list: readonly string[]): CidrMatcher {
  const table = new CidrMap<true>();
  const cidrs = list.map((text) => {
    const cidr = parseCidr(text);
    if (!cidr.ok) throw new TypeError(cidr.error);
    table.add(cidr.value, true);
    return cidr.value;
  });
  return { cidrs, table };
}
