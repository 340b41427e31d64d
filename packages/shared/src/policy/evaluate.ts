import { principalOf } from "../identity/index.ts";
import { type IpBits, ipBits } from "../net/index.ts";
import {
  accountKey,
  type CidrMatcher,
  type CompiledClause,
  type CompiledMatch,
  type CompiledRule,
  compilePolicy,
  type StringMatcher,
} from "./compile.ts";
import type { AuthorizationPolicy } from "./model.ts";
import type { PolicyConnection } from "./verdict.ts";

/**
 * A connection in the form matchers compare. Without an identity: the namespace is the empty text, and principals
 * and service accounts match nothing, not even presence or an empty prefix; so their `not` fields hold.
 */
export interface ConnectionFacts {
  /** `TD/ns/NS/sa/SA`. */
  readonly principal: string | undefined;
  readonly namespace: string;
  /** `NS/SA`; the trust domain does not matter. */
  readonly account: string | undefined;
  readonly source: IpBits;
  readonly destination: IpBits;
  readonly port: number;
}

export function connectionFacts(connection: PolicyConnection): ConnectionFacts {
  const { identity } = connection;
  return {
    principal: identity && principalOf(identity),
    namespace: identity?.namespace ?? "",
    account: identity && accountKey(identity),
    source: ipBits(connection.sourceIp),
    destination: ipBits(connection.destinationIp),
    port: connection.destinationPort,
  };
}

/**
 * Whether one policy matches, whatever its action, scope and dry-run flag. Spec: Istio AuthorizationPolicy.
 * Parity: ztunnel src/rbac.rs. No rule never matches; a rule without clauses always does; a clause without matches
 * is true; a match without fields is skipped, and a clause of only such matches is false.
 */
export function matchesPolicy(policy: AuthorizationPolicy, connection: PolicyConnection): boolean {
  const facts = connectionFacts(connection);
  return compilePolicy(policy).rules.some((rule) => ruleHolds(rule, facts));
}

export function ruleHolds(rule: CompiledRule, facts: ConnectionFacts): boolean {
  for (const clause of rule.clauses) if (!clauseHolds(clause, facts)) return false;
  return true;
}

function clauseHolds(clause: CompiledClause, facts: ConnectionFacts): boolean {
  for (const match of clause) if (matchHolds(match, facts)) return true;
  return false;
}

export function matchHolds(match: CompiledMatch, facts: ConnectionFacts): boolean {
  return identityHolds(match, facts) && addressesHold(match, facts);
}

function identityHolds(match: CompiledMatch, facts: ConnectionFacts): boolean {
  return (
    (!match.principals || textHits(match.principals, facts.principal)) &&
    (!match.serviceAccounts || accountHits(match.serviceAccounts, facts.account)) &&
    (!match.namespaces || textHits(match.namespaces, facts.namespace)) &&
    !(match.notPrincipals && textHits(match.notPrincipals, facts.principal)) &&
    !(match.notServiceAccounts && accountHits(match.notServiceAccounts, facts.account)) &&
    !(match.notNamespaces && textHits(match.notNamespaces, facts.namespace))
  );
}

function addressesHold(match: CompiledMatch, facts: ConnectionFacts): boolean {
  return (
    (!match.destinationPorts || match.destinationPorts.has(facts.port)) &&
    !match.notDestinationPorts?.has(facts.port) &&
    (!match.sourceIps || addressHits(match.sourceIps, facts.source)) &&
    (!match.destinationIps || addressHits(match.destinationIps, facts.destination)) &&
    !(match.notSourceIps && addressHits(match.notSourceIps, facts.source)) &&
    !(match.notDestinationIps && addressHits(match.notDestinationIps, facts.destination))
  );
}

function textHits(matcher: StringMatcher, value: string | undefined): boolean {
  if (value === undefined) return false;
  if (matcher.exact.has(value) || (matcher.presence && value !== "")) return true;
  for (const prefix of matcher.prefixes) if (value.startsWith(prefix)) return true;
  for (const suffix of matcher.suffixes) if (value.endsWith(suffix)) return true;
  return false;
}

const accountHits = (accounts: ReadonlySet<string>, account: string | undefined): boolean =>
  account !== undefined && accounts.has(account);

const found = (): boolean => true;
const addressHits = (matcher: CidrMatcher, address: IpBits): boolean => matcher.table.visit(address, found);
