import type { CompiledPolicy, CompiledRule } from "./compile.ts";
import { type ConnectionFacts, ruleHolds } from "./evaluate.ts";
import { RuleIndex } from "./rule-index.ts";

export type PolicyClass = "deny" | "allow" | "dryRunDeny" | "dryRunAllow";

export function classOf({ policy }: CompiledPolicy): PolicyClass {
  if (policy.dryRun) return policy.action === "Deny" ? "dryRunDeny" : "dryRunAllow";
  return policy.action === "Deny" ? "deny" : "allow";
}

/** Policies that apply together, indexed by class. */
export class PolicySet {
  readonly #indexes: Readonly<Record<PolicyClass, RuleIndex>> = {
    deny: new RuleIndex(),
    allow: new RuleIndex(),
    dryRunDeny: new RuleIndex(),
    dryRunAllow: new RuleIndex(),
  };
  readonly #counts: Record<PolicyClass, number> = { deny: 0, allow: 0, dryRunDeny: 0, dryRunAllow: 0 };

  /** How many policies of the class there are, also those whose rules can never hold. */
  count(kind: PolicyClass): number {
    return this.#counts[kind];
  }

  get isEmpty(): boolean {
    return Object.values(this.#counts).every((count) => count === 0);
  }

  add(policy: CompiledPolicy): void {
    const kind = classOf(policy);
    this.#counts[kind]++;
    for (const rule of policy.rules) this.#indexes[kind].add(rule);
  }

  remove(policy: CompiledPolicy): void {
    const kind = classOf(policy);
    this.#counts[kind]--;
    for (const rule of policy.rules) this.#indexes[kind].remove(rule);
  }

  /** A policy of the class that matches. */
  find(kind: PolicyClass, facts: ConnectionFacts): CompiledPolicy | undefined {
    if (this.#counts[kind] === 0) return undefined;
    let found: CompiledPolicy | undefined;
    this.#indexes[kind].visit(facts, (rule) => {
      if (ruleHolds(rule, facts)) found = rule.policy;
      return found !== undefined;
    });
    return found;
  }

  /** Every policy of the class that matches. */
  findAll(kind: PolicyClass, facts: ConnectionFacts): Set<CompiledPolicy> {
    const found = new Set<CompiledPolicy>();
    const collect = (rule: CompiledRule): boolean => {
      if (ruleHolds(rule, facts)) found.add(rule.policy);
      return false;
    };
    if (this.#counts[kind] > 0) this.#indexes[kind].visit(facts, collect);
    return found;
  }
}
