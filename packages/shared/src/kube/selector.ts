import { isRecord } from "./checks/field-checks.ts";

export type Labels = Readonly<Record<string, string>>;

/** Whether every wanted label is there with that value. No wanted label matches everything. */
export function matchesLabels(wanted: Labels, labels: Labels): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}

/**
 * Whether a Kubernetes LabelSelector (`matchLabels` and `matchExpressions`) selects these labels.
 * Total: a selector of a wrong shape, or with an unknown operator, selects nothing.
 */
export function selectorMatches(selector: unknown, labels: Labels): boolean {
  if (!isRecord(selector)) return false;
  const { matchLabels, matchExpressions } = selector;
  if (matchLabels !== undefined && !isRecord(matchLabels)) return false;
  if (matchExpressions !== undefined && !Array.isArray(matchExpressions)) return false;
  return (
    matchesLabels((matchLabels ?? {}) as Labels, labels) &&
    (matchExpressions ?? []).every((each: unknown) => isRecord(each) && expressionMatches(each, labels))
  );
}

function expressionMatches(expression: Readonly<Record<string, unknown>>, labels: Labels): boolean {
  const { key, operator, values } = expression;
  if (typeof key !== "string") return false;
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  const among = Array.isArray(values) && values.includes(value);
  switch (operator) {
    case "In":
      return value !== undefined && among;
    case "NotIn":
      return value === undefined || !among;
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    default:
      return false;
  }
}
