import { annotationsOf, type KubeObject, type Labels, namespaceOf, parseGoBoolean } from "@ambit/shared/kube";
import type { AuthorizationPolicy, PolicyRule } from "@ambit/shared/policy";
import type { Approximation } from "./authorization-fields.ts";
import { compileRules, type RuleProblem } from "./authorization-rules.ts";
import { accepted, type Condition, rejected } from "./condition.ts";

export interface CompiledPolicy {
  /** Absent when node proxies have nothing to enforce. */
  readonly policy?: AuthorizationPolicy;
  /** The labels it selects workloads by; absent when it holds for a namespace or the mesh. */
  readonly selector?: Labels;
  readonly condition: Condition;
}

const DRY_RUN = "istio.io/dry-run";
const KNOWN_FIELDS = new Set(["selector", "targetRef", "targetRefs", "action", "provider", "rules"]);
const MAX_NAMED_FIELDS = 5;

type Fields = Readonly<Record<string, unknown>>;

/**
 * One AuthorizationPolicy for node proxies. Total, and it never comes out weaker than written: what L4 cannot judge,
 * or nobody can read, is denied; the condition says so.
 *
 * Spec: istio.io AuthorizationPolicy, "ambient: L4 policy". Parity: istio pilot ambient/authorization.go
 * Differs: CUSTOM and DENY with L7 fields deny what their L4 part matches (istiod drops CUSTOM and L7-only DENY);
 * a policy of a wrong shape fails closed for its whole namespace.
 */
export function compileAuthorization(object: KubeObject, rootNamespace: string): CompiledPolicy {
  const spec = object.spec ?? {};
  if (spec["targetRef"] || (Array.isArray(spec["targetRefs"]) && spec["targetRefs"].length > 0)) {
    const message = "policies with targetRefs are enforced by waypoints; node proxies do not enforce this one";
    return { condition: rejected("WaypointRequired", message) };
  }
  const action = spec["action"] ?? "ALLOW";
  if (action === "AUDIT") {
    return { condition: rejected("UnsupportedValue", "spec.action: AUDIT has no effect on node proxies") };
  }
  const strange = strangeFields(spec);
  const selector = strange.length > 0 ? undefined : selectorOf(spec);
  const problems: RuleProblem[] = strange.map((field) => ({ field, kind: "invalid" }));
  const towards: Approximation = action === "ALLOW" ? "under" : "over";
  const rules = compileRules(spec["rules"], {
    namespace: namespaceOf(object),
    towards,
    onProblem: (problem) => problems.push(problem),
  });
  const policy: AuthorizationPolicy = {
    name: object.metadata.name,
    namespace: namespaceOf(object),
    scope: selector ? "WorkloadSelector" : namespaceOf(object) === rootNamespace ? "Global" : "Namespace",
    action: action === "ALLOW" ? "Allow" : "Deny",
    dryRun: parseGoBoolean(annotationsOf(object)[DRY_RUN]) === true,
    rules: strange.length > 0 ? failClosed(towards) : rules,
  };
  return { policy, ...(selector && { selector }), condition: conditionOf(action, problems) };
}

/** When even whom or what a policy is about is unclear: deny all, or allow nothing, in its whole scope. */
const failClosed = (towards: Approximation): readonly PolicyRule[] => (towards === "over" ? [[]] : []);

/** What makes it unclear which workloads a policy is for, or what it does with them. */
function strangeFields(spec: Fields): readonly string[] {
  const unknown = Object.keys(spec).filter((name) => !KNOWN_FIELDS.has(name));
  const action = spec["action"] ?? "ALLOW";
  const badAction = !["ALLOW", "DENY", "CUSTOM"].includes(action as string);
  return [
    ...unknown.map((name) => `spec.${name.slice(0, 80)}`),
    ...(badAction ? ["spec.action"] : []),
    ...(isSelector(spec["selector"]) ? [] : ["spec.selector"]),
  ];
}

function isSelector(selector: unknown): boolean {
  if (selector === undefined || selector === null) return true;
  if (typeof selector !== "object" || Array.isArray(selector)) return false;
  const { matchLabels, ...others } = selector as Fields;
  if (Object.keys(others).length > 0) return false;
  if (matchLabels === undefined || matchLabels === null) return true;
  if (typeof matchLabels !== "object" || Array.isArray(matchLabels)) return false;
  return Object.values(matchLabels).every((value) => typeof value === "string");
}

function selectorOf(spec: Fields): Labels | undefined {
  const labels = (spec["selector"] as { readonly matchLabels?: Labels } | undefined)?.matchLabels ?? {};
  return Object.keys(labels).length > 0 ? labels : undefined;
}

function conditionOf(action: unknown, problems: readonly RuleProblem[]): Condition {
  if (action === "CUSTOM") {
    return rejected("UnsupportedValue", "spec.action: CUSTOM needs a waypoint; what its rules match is denied");
  }
  if (problems.length === 0) return accepted("enforced by node proxies");
  const invalid = problems.filter(({ kind }) => kind === "invalid");
  const named = (invalid.length > 0 ? invalid : problems).map(({ field }) => field);
  const more = named.length > MAX_NAMED_FIELDS ? ` and ${named.length - MAX_NAMED_FIELDS} more` : "";
  const fields = `${named.slice(0, MAX_NAMED_FIELDS).join(", ")}${more}`;
  const effect =
    action === "ALLOW"
      ? "it allows less than written: what depends on these fields is not allowed"
      : "it denies more than written: these fields are taken to match anything";
  return invalid.length > 0
    ? rejected("Invalid", `${fields}: not understood; ${effect}`)
    : rejected("UnsupportedValue", `${fields}: HTTP fields need a waypoint; ${effect}`);
}
