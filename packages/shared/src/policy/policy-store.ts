import { ErrorCode } from "../errors/index.ts";
import type { Workload } from "../workload/index.ts";
import { type CompiledPolicy, compilePolicy } from "./compile.ts";
import { type ConnectionFacts, connectionFacts } from "./evaluate.ts";
import { ListedPolicies } from "./listed-policies.ts";
import { type AuthorizationPolicy, type PolicyDelta, policyKey } from "./model.ts";
import { type PolicyClass, PolicySet } from "./policy-set.ts";
import type { PolicyConnection, Verdict } from "./verdict.ts";

/** What of the destination decides which policies apply. */
export type PolicyDestination = Pick<Workload, "namespace" | "authorizationPolicies">;

/**
 * The policies of one thread, and the judgement over a connection. Applying a delta costs in proportion to it;
 * judging costs in proportion to the rules that may hold for this connection, not to how many there are.
 *
 * Parity: ztunnel src/state/policy.rs, src/state.rs. Differs: a policy that the workload lists and the store does
 * not hold denies (POLICY_MISSING), where ztunnel skips it.
 */
export class PolicyStore {
  readonly #policies = new Map<string, CompiledPolicy>();
  readonly #global = new PolicySet();
  readonly #byNamespace = new Map<string, PolicySet>();
  readonly #listed = new ListedPolicies(this.#policies);

  /** @returns keys of the policies put or removed; unknown removals are not among them */
  apply(delta: PolicyDelta): ReadonlySet<string> {
    const changed = new Set<string>();
    for (const policy of delta.policies) {
      this.#put(policy);
      changed.add(policyKey(policy));
    }
    for (const key of delta.removed) if (this.#remove(key)) changed.add(key);
    return changed;
  }

  get(key: string): AuthorizationPolicy | undefined {
    return this.#policies.get(key)?.policy;
  }

  get size(): number {
    return this.#policies.size;
  }

  *policies(): IterableIterator<AuthorizationPolicy> {
    for (const { policy } of this.#policies.values()) yield policy;
  }

  /**
   * Applying are the global policies, those of the destination's namespace and those the destination lists.
   * A matching DENY denies; else a missing policy denies; else without ALLOW policies it is allowed; else one of them must match.
   */
  evaluate(connection: PolicyConnection, destination: PolicyDestination): Verdict {
    const facts = connectionFacts(connection);
    const { sets, missing } = this.#applying(destination);
    const dryRun = dryRunSentences(sets, facts);
    const denying = findIn(sets, "deny", facts);
    if (denying) {
      const message = `denied by policy ${denying.key}`;
      return { kind: "deny", code: ErrorCode.POLICY_DENIED, policy: denying.key, message, dryRun };
    }
    if (missing !== undefined) {
      const message = `policy ${missing} applies to the destination but has not been received`;
      return { kind: "deny", code: ErrorCode.POLICY_MISSING, policy: missing, message, dryRun };
    }
    if (!sets.some((set) => set.count("allow") > 0)) return { kind: "allow", dryRun };
    const allowing = findIn(sets, "allow", facts);
    if (allowing) return { kind: "allow", policy: allowing.key, dryRun };
    const message = "no ALLOW policy of the destination matches";
    return { kind: "deny", code: ErrorCode.POLICY_NOT_ALLOWED, message, dryRun };
  }

  #applying(destination: PolicyDestination): { sets: readonly PolicySet[]; missing: string | undefined } {
    const sets = [this.#global];
    const own = this.#byNamespace.get(destination.namespace);
    if (own) sets.push(own);
    if (destination.authorizationPolicies.length === 0) return { sets, missing: undefined };
    const listed = this.#listed.of(destination.authorizationPolicies);
    sets.push(listed.set);
    const [missing] = listed.missing;
    return { sets, missing };
  }

  #put(policy: AuthorizationPolicy): void {
    const compiled = compilePolicy(policy);
    this.#remove(compiled.key);
    this.#policies.set(compiled.key, compiled);
    this.#scopeOf(policy)?.add(compiled);
    this.#listed.noteChange(compiled.key);
  }

  #remove(key: string): boolean {
    const compiled = this.#policies.get(key);
    if (!compiled) return false;
    this.#policies.delete(key);
    const { namespace } = compiled.policy;
    this.#scopeOf(compiled.policy)?.remove(compiled);
    if (this.#byNamespace.get(namespace)?.isEmpty) this.#byNamespace.delete(namespace);
    this.#listed.noteChange(key);
    return true;
  }

  /** The set of the policy's scope; none for a selector-scoped one, which is found through the workloads' lists. */
  #scopeOf({ scope, namespace }: AuthorizationPolicy): PolicySet | undefined {
    if (scope === "Global") return this.#global;
    if (scope === "WorkloadSelector") return undefined;
    const set = this.#byNamespace.get(namespace) ?? new PolicySet();
    this.#byNamespace.set(namespace, set);
    return set;
  }
}

function findIn(sets: readonly PolicySet[], kind: PolicyClass, facts: ConnectionFacts): CompiledPolicy | undefined {
  for (const set of sets) {
    const found = set.find(kind, facts);
    if (found) return found;
  }
  return undefined;
}

const NONE: readonly string[] = [];

function dryRunSentences(sets: readonly PolicySet[], facts: ConnectionFacts): readonly string[] {
  const has = (kind: PolicyClass): boolean => sets.some((set) => set.count(kind) > 0);
  if (!has("dryRunDeny") && !has("dryRunAllow")) return NONE;
  const keys = (kind: PolicyClass): string[] => {
    const found = sets.flatMap((set) => [...set.findAll(kind, facts)].map((policy) => policy.key));
    return [...new Set(found)].sort();
  };
  const allowing = keys("dryRunAllow");
  const sentences = keys("dryRunDeny").map((key) => `policy ${key} would deny`);
  sentences.push(...allowing.map((key) => `policy ${key} would allow`));
  // With an enforced ALLOW present, enforcing one more could only allow more.
  const wouldDeny = has("dryRunAllow") && allowing.length === 0 && !has("allow");
  return wouldDeny ? [...sentences, "no dry-run ALLOW policy matches: enforcing them would deny"] : sentences;
}
