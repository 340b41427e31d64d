/**
 * Fail closed at the destination: the workloads of a service that names a waypoint refuse everybody but that waypoint,
 * on the ports of that service. Node proxies enforce it as L4 DENY policies, so a pod's own address is no way around.
 *
 * Differs: Istio leaves pods of a waypoint-bound service reachable by their own address, and all of the service when
 * the waypoint is missing. `ambit.io/waypoint-bypass: allow` on a service or its namespace asks for that.
 */
import { annotationsOf, type KubeObject, labelsOf, namespaceOf, textAt, USE_WAYPOINT_LABEL } from "@ambit/shared/kube";
import type { AuthorizationPolicy } from "@ambit/shared/policy";
import { policyKey } from "@ambit/shared/policy";
import type { Workload } from "@ambit/shared/workload";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import type { WaypointBinding } from "../waypoint.ts";
import type { ServiceFront, WaypointRequirement } from "./derived-facts.ts";

export const BYPASS_ANNOTATION = "ambit.io/waypoint-bypass";
const POLICY_PREFIX = "ambit-waypoint-required-";

interface RequirementInit {
  readonly object: KubeObject;
  readonly front: ServiceFront;
  readonly binding: WaypointBinding;
  readonly gateways: readonly string[];
}

export function requirementOf(
  reader: FactReader,
  mesh: MeshSettings,
  { object, front, binding, gateways }: RequirementInit,
): WaypointRequirement | undefined {
  if (binding.kind === "none" || mayBypass(reader, object) || !concernsWorkloads(object, front)) return undefined;
  const principals = gateways.flatMap((gateway) => {
    const [namespace = "", name = ""] = gateway.split("/");
    const [found] = reader.read(fact.gateway(namespace, name));
    return found ? [`${mesh.trustDomain}/ns/${namespace}/sa/${found.account}`] : [];
  });
  const shown = front.kind === "Service" ? front.name : front.hostname.replace("*", "wildcard");
  return {
    service: front.key,
    policy: `${front.namespace}/${POLICY_PREFIX}${shown}`,
    principals: [...new Set(principals)].sort(),
  };
}

function mayBypass(reader: FactReader, object: KubeObject): boolean {
  const own = annotationsOf(object)[BYPASS_ANNOTATION];
  const inherited = reader.read(fact.namespace(namespaceOf(object)))[0]?.annotations[BYPASS_ANNOTATION];
  return (own ?? inherited) === "allow";
}

/**
 * A headless service has no address a waypoint could stand behind: inheriting its namespace's waypoint means nothing
 * to it, naming one closes it. Hosts outside of the mesh have nobody who could refuse.
 */
function concernsWorkloads(object: KubeObject, front: ServiceFront): boolean {
  if (front.kind === "ServiceEntry") return !front.meshExternal || object.spec?.["workloadSelector"] !== undefined;
  return textAt(object.spec, "clusterIP") !== "None" || labelsOf(object)[USE_WAYPOINT_LABEL] !== undefined;
}

/** Refuses on these ports whoever is not one of the principals; without principals everybody. */
export function requiredPolicy(
  key: string,
  ports: readonly number[],
  principals: readonly string[],
): AuthorizationPolicy {
  return denyPolicy(key, ports.length === 0 ? [] : [{ ports, principals }]);
}

interface PortRule {
  readonly ports: readonly number[];
  readonly principals: readonly string[];
}

function denyPolicy(key: string, rules: readonly PortRule[]): AuthorizationPolicy {
  const slash = key.indexOf("/");
  return {
    namespace: key.slice(0, slash),
    name: key.slice(slash + 1),
    scope: "WorkloadSelector",
    action: "Deny",
    dryRun: false,
    rules: rules.map(({ ports, principals }) => {
      const notPrincipals = principals.map((value) => ({ kind: "exact" as const, value }));
      return [[{ destinationPorts: ports, ...(notPrincipals.length > 0 && { notPrincipals }) }]];
    }),
  };
}

/** A workload with what its services require of its clients, and a policy of its own when they require different things. */
export function withRequirements(
  reader: FactReader,
  workload: Workload,
): { readonly workload: Workload; readonly policies: readonly AuthorizationPolicy[] } {
  const requirements = Object.keys(workload.services).flatMap((service) => reader.read(fact.requirement(service)));
  const sorted = requirements.sort((a, b) => (a.policy < b.policy ? -1 : 1));
  const wanted = new Set(sorted.map(({ principals }) => principals.join(" ")));
  if (wanted.size <= 1) {
    const keys = sorted.map(({ policy }) => policy);
    return { workload: withPolicies(workload, keys), policies: [] };
  }
  const own = mixedPolicy(workload, sorted);
  return { workload: withPolicies(workload, [policyKey(own)]), policies: [own] };
}

/** Two services with different waypoints share this workload: on a port of both, either waypoint may come. */
function mixedPolicy(workload: Workload, requirements: readonly WaypointRequirement[]): AuthorizationPolicy {
  const principalsByPort = new Map<number, Set<string>>();
  for (const { service, principals } of requirements) {
    for (const { targetPort } of workload.services[service] ?? []) {
      const known = principalsByPort.get(targetPort) ?? new Set();
      principalsByPort.set(targetPort, new Set([...known, ...principals]));
    }
  }
  const rules = [...principalsByPort]
    .sort(([a], [b]) => a - b)
    .map(([port, principals]) => ({ ports: [port], principals: [...principals].sort() }));
  const services = requirements.map(({ policy }) => policy.slice(policy.indexOf(POLICY_PREFIX) + POLICY_PREFIX.length));
  return denyPolicy(`${workload.namespace}/${POLICY_PREFIX}${services.join("+")}-on-${workload.name}`, rules);
}

export const withPolicies = (workload: Workload, keys: readonly string[]): Workload =>
  keys.length === 0
    ? workload
    : { ...workload, authorizationPolicies: [...new Set([...workload.authorizationPolicies, ...keys])] };
