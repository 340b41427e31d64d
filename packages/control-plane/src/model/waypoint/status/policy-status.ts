/** What became of policies that are attached by `targetRefs`. Spec: Istio PolicyTargetReference. */
import { type KubeObject, namespaceOf, type ObjectKey, recordAt, recordsAt, textAt } from "@ambit/shared/kube";
import type { Condition, ObjectStatus } from "../../condition.ts";
import type { FactReader } from "../../fact-store.ts";
import { fact } from "../../facts.ts";
import type { MeshSettings } from "../../mesh-settings.ts";
import type { ServiceFront } from "../derived-facts.ts";
import { attachmentKind, parentKind, targetRefsOf } from "../object-facts.ts";
import { findService, meshConfigOf, trustDomainsOf } from "../policies/guards-of.ts";
import { hasPublicKey } from "../policies/key-set.ts";
import { actionOf, isDryRun } from "../policies/rbac-filters.ts";
import { rbacRules } from "../policies/rules.ts";
import { isOurs } from "../service-front.ts";
import { targetFinder } from "../settings.ts";
import { shownList } from "./route-status.ts";
import { telemetryProblems } from "./telemetry-problems.ts";

type Fields = Readonly<Record<string, unknown>>;

const TYPE = "WaypointAccepted";
const condition = (status: Condition["status"], reason: string, message: string): Condition => ({
  type: TYPE,
  status,
  reason,
  message,
});

export function policyStatus(reader: FactReader, policy: KubeObject, mesh: MeshSettings): ObjectStatus {
  const refs = targetRefsOf(policy);
  if (refs.length === 0) {
    if (policy.kind === "Telemetry") return { conditions: [ofNamespace(reader, policy, mesh)] };
    const message = "without targetRefs it has no effect: tokens are judged by waypoints";
    return { conditions: [condition("False", "AncestorNotBound", message)] };
  }
  const targets = refs.map((ref) => targetOf(reader, policy, ref, mesh));
  const missing = targets.find((target) => target.problem !== undefined);
  if (missing?.problem !== undefined) return { conditions: [condition("False", "TargetNotFound", missing.problem)] };
  const gateways = [...new Set(targets.flatMap((target) => target.gateways))].sort();
  const enforcedBy = gateways.length > 0 ? { enforcedBy: gateways } : {};
  const unbound = targets.find((target) => target.gateways.length === 0);
  if (unbound) return { conditions: [condition("False", "AncestorNotBound", unbound.unbound)], ...enforcedBy };
  return { conditions: [verdict(reader, policy, mesh, gateways)], ...enforcedBy };
}

/** Of everything in a namespace, or in the mesh. */
function ofNamespace(reader: FactReader, telemetry: KubeObject, mesh: MeshSettings): Condition {
  const selector = telemetry.spec?.["selector"] === undefined ? [] : ["spec.selector: waypoints go by targetRefs"];
  const problems = [...selector, ...telemetryProblemsOf(reader, telemetry, mesh)];
  return problems.length > 0
    ? condition("False", "PartiallyInvalid", shownList(problems))
    : condition("True", "Accepted", `holds for the waypoints of ${namespaceOf(telemetry)}`);
}

interface Target {
  readonly gateways: readonly string[];
  readonly problem?: string;
  /** What to say when nobody is there to enforce the policy. */
  readonly unbound: string;
}

const found = (gateways: readonly string[], unbound: string): Target => ({ gateways, unbound });
const missing = (problem: string): Target => ({ gateways: [], unbound: "", problem });

function targetOf(reader: FactReader, policy: KubeObject, ref: Fields, mesh: MeshSettings): Target {
  const [name, namespace] = [textAt(ref, "name"), namespaceOf(policy)];
  const kind = attachmentKind(ref);
  const shown = `${textAt(ref, "kind")} ${namespace}/${name}`;
  switch (kind) {
    case "Service":
    case "ServiceEntry": {
      const fronts = reader.read(fact.frontsOf(`${kind}/${namespace}/${name}`)).flat();
      if (fronts.length === 0) return missing(`there is no ${shown}`);
      return found(gatewaysOf(fronts), `${shown} has no waypoint, so nobody enforces the policy`);
    }
    case "Gateway": {
      if (!reader.read(fact.gateway(namespace, name))[0]) return missing(`there is no ${shown}`);
      const gateway = `${namespace}/${name}`;
      return found(isOurs(reader, gateway) ? [gateway] : [], `${shown} is no waypoint of this mesh`);
    }
    case "GatewayClass": {
      if (namespace !== mesh.rootNamespace) return missing(`only policies of ${mesh.rootNamespace} hold for a class`);
      return found(reader.read(fact.gatewaysOfClass(name)), `there is no waypoint of class ${name}`);
    }
    case "HTTPRoute":
    case "GRPCRoute":
      return routeTarget(reader, `${kind}/${namespace}/${name}` as ObjectKey, textAt(ref, "sectionName"));
    default:
      return missing(`${textAt(ref, "group")}/${textAt(ref, "kind")}: policies cannot be attached to that`);
  }
}

const gatewaysOf = (fronts: readonly ServiceFront[]): readonly string[] => fronts.flatMap(({ gateways }) => gateways);

function routeTarget(reader: FactReader, key: ObjectKey, section: string): Target {
  const [route] = reader.read(fact.own(key));
  if (!route) return missing(`there is no ${key}`);
  if (section !== "" && !recordsAt(route.spec, "rules").some((rule) => textAt(rule, "name") === section)) {
    return missing(`${key} has no rule named ${section}`);
  }
  const fronts = recordsAt(route.spec, "parentRefs").flatMap((ref) => {
    const kind = parentKind(ref);
    const namespace = textAt(ref, "namespace") || namespaceOf(route);
    return kind ? reader.read(fact.frontsOf(`${kind}/${namespace}/${textAt(ref, "name")}`)).flat() : [];
  });
  return found(gatewaysOf(fronts), `no parent of ${key} has a waypoint, so nobody enforces the policy`);
}

function verdict(reader: FactReader, policy: KubeObject, mesh: MeshSettings, gateways: readonly string[]): Condition {
  const problems = problemsOf(reader, policy, mesh);
  if (problems.length > 0) return condition("False", "PartiallyInvalid", shownList(problems));
  const provider = textAt(recordAt(policy.spec, "provider"), "name");
  const context = { reader, mesh, gateway: gateways[0] ?? "", protocol: "http" as const };
  if (policy.kind === "AuthorizationPolicy" && actionOf(policy) === "CUSTOM" && !findService(context, provider)) {
    return condition(
      "False",
      "Invalid",
      `spec.provider.name ${provider}: no such provider; what its rules match is refused`,
    );
  }
  return condition("True", "Accepted", `${isDryRun(policy) ? "observed" : "enforced"} by ${gateways.join(", ")}`);
}

/** Services of providers are found from any waypoint alike. */
const telemetryProblemsOf = (reader: FactReader, telemetry: KubeObject, mesh: MeshSettings): readonly string[] =>
  telemetryProblems(telemetry, meshConfigOf(reader), targetFinder(reader, "", mesh));

function problemsOf(reader: FactReader, policy: KubeObject, mesh: MeshSettings): readonly string[] {
  switch (policy.kind) {
    case "RequestAuthentication":
      return keyProblems(policy);
    case "Telemetry":
      return telemetryProblemsOf(reader, policy, mesh);
    default:
      return ruleProblemsOf(reader, policy, mesh);
  }
}

function ruleProblemsOf(reader: FactReader, policy: KubeObject, mesh: MeshSettings): readonly string[] {
  const fields: string[] = [];
  const towards = actionOf(policy) === "ALLOW" ? "under" : "over";
  rbacRules(policy.spec?.["rules"], {
    namespace: namespaceOf(policy),
    trustDomains: trustDomainsOf(reader, mesh),
    towards,
    http: true,
    onProblem: (field) => fields.push(field),
  });
  const effect = towards === "under" ? "it allows less than written" : "it matches more than written";
  return fields.map((field) => `${field}: not understood; ${effect}`);
}

function keyProblems(policy: KubeObject): readonly string[] {
  return recordsAt(policy.spec, "jwtRules").flatMap((rule, index) => {
    const at = `spec.jwtRules[${index}]`;
    if (textAt(rule, "issuer") === "") return [`${at}.issuer: required; the rule has no effect`];
    const jwks = textAt(rule, "jwks");
    if (jwks !== "")
      return hasPublicKey(jwks) ? [] : [`${at}.jwks: no public key in it; no token of the issuer is good`];
    return textAt(rule, "jwksUri") === "" ? [`${at}: neither jwks nor jwksUri; no token of the issuer is good`] : [];
  });
}
