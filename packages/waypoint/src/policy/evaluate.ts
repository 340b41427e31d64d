/**
 * May this request, or this connection, pass? Pure. The only place that makes a RequestPermit or ConnectionPermit.
 *
 * Spec: Istio AuthorizationPolicy: CUSTOM (asked before, see `external-authorizer.ts`), AUDIT, DENY, ALLOW
 */
import { ErrorCode } from "@ambit/shared/errors";
import type {
  ConnectionPermit,
  CustomAuthorization,
  ExternalPermit,
  HttpAuthorization,
  HttpVerdict,
  PolicyAttributes,
  RbacPolicy,
  RequestPermit,
  RuleSet,
  TcpAuthorization,
  TcpVerdict,
} from "./model.ts";
import { PolicyFacts } from "./policy-facts.ts";
import { indexOf } from "./policy-index.ts";
import { policyOf } from "./policy-name.ts";

const REQUEST_PERMIT = Object.freeze({}) as RequestPermit;
const CONNECTION_PERMIT = Object.freeze({}) as ConnectionPermit;

/** @param external  proof that the chain's external authorizers agreed; without it a request they care about is refused */
export function evaluateHttp(
  authorization: HttpAuthorization,
  attributes: PolicyAttributes,
  external?: ExternalPermit,
): HttpVerdict {
  const answer = evaluate(authorization, attributes, external);
  return answer.kind === "refuse" ? answer : { ...answer, permit: REQUEST_PERMIT };
}

export function evaluateTcp(
  authorization: TcpAuthorization,
  attributes: PolicyAttributes,
  external?: ExternalPermit,
): TcpVerdict {
  const answer = evaluate(authorization, attributes, external);
  return answer.kind === "refuse" ? answer : { ...answer, permit: CONNECTION_PERMIT };
}

type Refusal = Extract<HttpVerdict, { kind: "refuse" }>;
type Consent = Omit<Extract<HttpVerdict, { kind: "permit" }>, "permit">;
type Notes = Pick<Refusal, "dryRun" | "audited">;
/** What ends an evaluation early. */
type Objection = Pick<Refusal, "code" | "policy" | "message">;

function evaluate(
  authorization: HttpAuthorization | TcpAuthorization,
  attributes: PolicyAttributes,
  external: ExternalPermit | undefined,
): Refusal | Consent {
  const facts = PolicyFacts.of(attributes);
  const { rules, custom } = authorization;
  const notes: Notes = { dryRun: dryRunOutcomes(rules, facts), audited: auditedBy(rules, facts) };
  if (custom.length > 0 && external === undefined && concernsExternal(custom, facts)) {
    return { kind: "refuse", ...notes, ...objection("the external authorizer was not asked", undefined) };
  }
  const malformed = rules.length > 0 ? malformedPeer(facts) : undefined;
  if (malformed !== undefined) return { kind: "refuse", ...notes, ...malformed };
  return enforce(rules, facts, notes);
}

function enforce(rules: readonly RuleSet[], facts: PolicyFacts, notes: Notes): Refusal | Consent {
  for (const { action, enforced } of rules) {
    const denied = action === "deny" && enforced !== undefined ? find(enforced, facts) : undefined;
    if (denied !== undefined) {
      const policy = policyOf(denied.name);
      return { kind: "refuse", ...notes, ...objection(`denied by ${policy}`, policy) };
    }
  }
  let policy: string | undefined;
  for (const { action, enforced } of rules) {
    if (action !== "allow" || enforced === undefined) continue;
    const allowed = find(enforced, facts);
    if (allowed === undefined) return { kind: "refuse", ...notes, ...notAllowed };
    policy = policyOf(allowed.name);
  }
  return { kind: "permit", ...notes, policy };
}

const find = (policies: readonly RbacPolicy[], facts: PolicyFacts): RbacPolicy | undefined =>
  indexOf(policies).findMatch(facts);

/** Whether any of the external authorizers is to be asked about this request. */
export const concernsExternal = (custom: readonly CustomAuthorization[], attributes: PolicyAttributes): boolean => {
  const facts = PolicyFacts.of(attributes);
  return custom.some(({ dryRun, when }) => !dryRun && find(when, facts) !== undefined);
};

const objection = (message: string, policy: string | undefined): Objection => ({
  code: ErrorCode.POLICY_DENIED,
  policy,
  message,
});

const notAllowed: Objection = {
  code: ErrorCode.POLICY_NOT_ALLOWED,
  policy: undefined,
  message: "no ALLOW policy matches",
};

/** TLS lets no such peer in; should it happen, the namespace of a policy would be looked for in vain. */
function malformedPeer(facts: PolicyFacts): Objection | undefined {
  if (facts.peerPrincipal === undefined || facts.account !== undefined) return undefined;
  return objection("the peer's principal is not one of the mesh's form", undefined);
}

function auditedBy(rules: readonly RuleSet[], facts: PolicyFacts): readonly string[] {
  const names = new Set<string>();
  for (const { action, enforced } of rules) {
    const found = action === "audit" && enforced !== undefined ? find(enforced, facts) : undefined;
    if (found !== undefined) names.add(policyOf(found.name));
  }
  return [...names];
}

function dryRunOutcomes(rules: readonly RuleSet[], facts: PolicyFacts): readonly string[] {
  const outcomes: string[] = [];
  for (const { action, dryRun } of rules) {
    if (dryRun.length === 0) continue;
    const found = find(dryRun, facts);
    outcomes.push(dryRunOutcome(action, found && policyOf(found.name)));
  }
  return outcomes;
}

function dryRunOutcome(action: RuleSet["action"], policy: string | undefined): string {
  switch (action) {
    case "allow":
      return policy === undefined ? "dry run: no ALLOW policy matches, would deny" : `dry run: ${policy} would allow`;
    case "deny":
      return policy === undefined ? "dry run: no DENY policy matches" : `dry run: ${policy} would deny`;
    case "audit":
      return policy === undefined ? "dry run: no AUDIT policy matches" : `dry run: ${policy} would audit`;
    default:
      return action satisfies never;
  }
}
