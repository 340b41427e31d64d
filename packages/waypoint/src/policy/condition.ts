/**
 * Conditions of a policy, compiled to functions. A condition knows three answers: yes, no, and `undefined`, "the request
 * lacks what I look at". Which is why the same proto becomes two different conditions:
 *
 * - of a policy that permits, `not` of a missing attribute is not a yes (nobody gets in by leaving something out);
 * - of a policy that refuses, a missing attribute counts as "no", and `not` of it as "yes" (nobody gets by).
 *
 * Spec: hardening case 33
 * Differs: Envoy takes `not` of a missing attribute for true in both; Istio's ISTIO-SECURITY-2021-004 was about that.
 */
import type { IndexKeys } from "./model.ts";
import type { PolicyFacts } from "./policy-facts.ts";

export type Truth = boolean | undefined;

export interface Condition {
  holds(facts: PolicyFacts): Truth;
  /** Alternatives, each of them necessary; none known: empty. */
  readonly necessary: readonly IndexKeys[];
}

/** What a policy is for, and whether we are below an odd number of `not`. */
export interface Leaning {
  readonly purpose: "permits" | "refuses";
  readonly inverted: boolean;
}

export const opposite = (leaning: Leaning): Leaning => ({ purpose: leaning.purpose, inverted: !leaning.inverted });

/** Whether a yes here makes the request more likely to be refused: then what is in doubt counts as a yes. */
export const isWide = (leaning: Leaning): boolean => (leaning.purpose === "refuses") !== leaning.inverted;

/** The answer of a condition that looks at something the request lacks. */
export const missing = (leaning: Leaning): Truth => (leaning.purpose === "refuses" ? false : undefined);

/** Alternatives kept per condition; more would only make the choice slower. */
const MAX_ALTERNATIVES = 8;

export const ALWAYS: Condition = { holds: () => true, necessary: [] };
/** What istiod writes for a policy without rules. No key fits. */
export const NEVER: Condition = { holds: () => false, necessary: [[]] };

export function test(holds: (facts: PolicyFacts) => Truth, keys?: IndexKeys): Condition {
  return { holds, necessary: keys === undefined ? [] : [keys] };
}

export function allOf(conditions: readonly Condition[]): Condition {
  if (conditions.length === 1) return conditions[0] as Condition;
  const necessary = conditions.flatMap((condition) => condition.necessary).slice(0, MAX_ALTERNATIVES);
  return {
    necessary,
    holds(facts) {
      let answer: Truth = true;
      for (const condition of conditions) {
        const truth = condition.holds(facts);
        if (truth === false) return false;
        if (truth === undefined) answer = undefined;
      }
      return answer;
    },
  };
}

export function anyOf(conditions: readonly Condition[]): Condition {
  if (conditions.length === 1) return conditions[0] as Condition;
  return {
    necessary: unionOfNecessary(conditions),
    holds(facts) {
      let answer: Truth = false;
      for (const condition of conditions) {
        const truth = condition.holds(facts);
        if (truth === true) return true;
        if (truth === undefined) answer = undefined;
      }
      return answer;
    },
  };
}

export function not(condition: Condition): Condition {
  if (condition === ALWAYS) return NEVER;
  return {
    necessary: [],
    holds(facts) {
      const truth = condition.holds(facts);
      return truth === undefined ? undefined : !truth;
    },
  };
}

/** One of the branches must hold, so one key of one alternative of each branch together is necessary. */
function unionOfNecessary(conditions: readonly Condition[]): readonly IndexKeys[] {
  const union: IndexKeys[number][] = [];
  for (const { necessary } of conditions) {
    const [first, ...others] = necessary;
    if (first === undefined) return [];
    union.push(...others.reduce((best, keys) => (rankOf(keys) < rankOf(best) ? keys : best), first));
  }
  return [union];
}

const RANKS = { principal: 1, account: 1, path: 2, namespace: 3, authority: 4, port: 5, method: 6 } as const;
const rankOf = (keys: IndexKeys): number => Math.max(0, ...keys.map((key) => RANKS[key.dimension]));
