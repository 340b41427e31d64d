import { type KubeObject, labelsOf, NO_LABELS, namespaceOf } from "@ambit/shared/kube";
import type { AuthorizationPolicy } from "@ambit/shared/policy";
import { policyKey } from "@ambit/shared/policy";
import { type Service, serviceKey, type Workload } from "@ambit/shared/workload";
import { compileAuthorization } from "./compile-authorization.ts";
import { compileEndpointSlice } from "./compile-endpoint-slice.ts";
import { inheritedMode, peerAuthenticationCondition, portLevelPolicy } from "./compile-peer-authentication.ts";
import { compileService } from "./compile-service.ts";
import { compileServiceEntry } from "./compile-service-entry.ts";
import { compilePod, NO_LOCALITY } from "./compile-workload.ts";
import { compileWorkloadEntry, workloadEntryLabels } from "./compile-workload-entry.ts";
import { type Condition, NO_STATUS, type ObjectStatus } from "./condition.ts";
import type { FactReader, Facts } from "./fact-store.ts";
import { fact } from "./facts.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import { gatewayAccount, gatewayAddresses, gatewayListeners } from "./object-facts.ts";
import { readPeerAuthentication } from "./peer-authentication-fact.ts";
import { attachedWorkload } from "./waypoint/attached-workloads.ts";
import type { ServiceFront, WaypointRequirement } from "./waypoint/derived-facts.ts";
import { dynamicProblems } from "./waypoint/dynamic-dns.ts";
import { type LabelledWorkload, memberFacts } from "./waypoint/members.ts";
import { labelledGateway, targetRefsOf } from "./waypoint/object-facts.ts";
import { withRequirements } from "./waypoint/requirement.ts";
import { frontFacts, isOurs } from "./waypoint/service-front.ts";
import { gatewayStatus } from "./waypoint/status/gateway-status.ts";
import { policyStatus } from "./waypoint/status/policy-status.ts";
import { routeStatus } from "./waypoint/status/route-status.ts";
import { destinationRuleStatus, virtualServiceStatus } from "./waypoint/status/traffic-status.ts";
import { UNSUPPORTED_KINDS, unsupportedStatus } from "./waypoint/status/unsupported-status.ts";
import { subUnit } from "./waypoint/sub-unit-names.ts";

/** One xDS resource before it is encoded. */
export type MeshResource =
  | { readonly kind: "workload"; readonly name: string; readonly value: Workload }
  | { readonly kind: "service"; readonly name: string; readonly value: Service }
  | { readonly kind: "policy"; readonly name: string; readonly value: AuthorizationPolicy }
  | EnvoyResource;

/** A resource for the replicas of one waypoint only, encoded already: its messages are compared by their bytes. */
export interface EnvoyResource {
  readonly kind: "envoy";
  /** Whom it is for: a Gateway as `namespace/name`; endpoints, which depend on where one is, `namespace/name@node`. */
  readonly scope: string;
  readonly typeUrl: string;
  readonly name: string;
  readonly value: Uint8Array;
}

export interface CompiledObject {
  readonly resources: readonly MeshResource[];
  readonly status: ObjectStatus;
  /** Answers for units of higher levels. */
  readonly facts?: Facts;
  /** Sub-units that are to exist as long as this says so. */
  readonly subUnits?: readonly string[];
}

const NOTHING: CompiledObject = { resources: [], status: NO_STATUS };

export const workload = (value: Workload): MeshResource => ({ kind: "workload", name: value.uid, value });
export const service = (value: Service): MeshResource => ({ kind: "service", name: serviceKey(value), value });
export const policy = (value: AuthorizationPolicy): MeshResource => ({ kind: "policy", name: policyKey(value), value });

/** Unique among all resources: workloads and services share a type, and so do the waypoints' resources of one scope. */
export function resourceId(resource: MeshResource): string {
  if (resource.kind === "envoy") return `${resource.scope} ${resource.typeUrl} ${resource.name}`;
  return `${resource.kind === "policy" ? "policy" : "address"} ${resource.name}`;
}

/** Kinds that become resources, or of which something is said. */
export const COMPILED_KINDS: ReadonlySet<string> = new Set([
  "Pod",
  "Service",
  "ServiceEntry",
  "WorkloadEntry",
  "EndpointSlice",
  "Gateway",
  "AuthorizationPolicy",
  "PeerAuthentication",
  "RequestAuthentication",
  "Telemetry",
  "HTTPRoute",
  "GRPCRoute",
  "TCPRoute",
  "TLSRoute",
  "VirtualService",
  "DestinationRule",
  ...UNSUPPORTED_KINDS,
]);

/** What one object becomes. Pure: a function of the object and of the facts it reads. */
export function compileObject(reader: FactReader, object: KubeObject, mesh: MeshSettings): CompiledObject {
  switch (object.kind) {
    case "Pod":
      return podUnit(reader, object, mesh);
    case "WorkloadEntry": {
      const compiled = compileWorkloadEntry(reader, object, mesh);
      return compiled ? workloadUnits(reader, [{ workload: compiled, labels: workloadEntryLabels(object) }]) : NOTHING;
    }
    case "EndpointSlice": {
      const compiled = compileEndpointSlice(reader, object, mesh);
      return workloadUnits(
        reader,
        compiled.map((each) => ({ workload: each, labels: NO_LABELS })),
      );
    }
    case "Gateway":
      return gatewayUnit(reader, object, mesh);
    case "Service":
      return serviceUnit(reader, object, mesh);
    case "ServiceEntry":
      return serviceEntryUnit(reader, object, mesh);
    case "AuthorizationPolicy": {
      if (targetRefsOf(object).length > 0) return { resources: [], status: policyStatus(reader, object, mesh) };
      const compiled = compileAuthorization(object, mesh.rootNamespace);
      return withConditions(compiled.policy ? [policy(compiled.policy)] : [], [compiled.condition]);
    }
    case "RequestAuthentication":
    case "Telemetry":
      return { resources: [], status: policyStatus(reader, object, mesh) };
    case "HTTPRoute":
    case "GRPCRoute":
    case "TCPRoute":
    case "TLSRoute":
      return { resources: [], status: routeStatus(reader, object, mesh) };
    case "VirtualService":
      return { resources: [], status: virtualServiceStatus(reader, object, mesh) };
    case "DestinationRule":
      return { resources: [], status: destinationRuleStatus(reader, object, mesh) };
    case "PeerAuthentication":
      return compilePeerAuthentication(reader, object, mesh);
    default:
      return UNSUPPORTED_KINDS.has(object.kind) ? { resources: [], status: unsupportedStatus(object) } : NOTHING;
  }
}

const withConditions = (
  resources: readonly MeshResource[],
  conditions: readonly Condition[],
  enforcedBy: readonly string[] = [],
): CompiledObject => ({
  resources,
  status: conditions.length === 0 ? NO_STATUS : { conditions, ...(enforcedBy.length > 0 && { enforcedBy }) },
});

/** Workloads with what their services require, as members of these services. */
function workloadUnits(reader: FactReader, workloads: readonly LabelledWorkload[]): CompiledObject {
  const required = workloads.map(({ workload: each, labels }) => ({ ...withRequirements(reader, each), labels }));
  return {
    resources: required.flatMap((each) => [...each.policies.map(policy), workload(each.workload)]),
    status: NO_STATUS,
    facts: new Map([
      ...memberFacts(required),
      ...required.flatMap((each) => [...attachedWorkload(reader, each.workload, each.labels)]),
    ]),
  };
}

function podUnit(reader: FactReader, object: KubeObject, mesh: MeshSettings): CompiledObject {
  const compiled = compilePod(reader, object, mesh);
  if (!compiled) return NOTHING;
  const unit = workloadUnits(reader, [{ workload: compiled, labels: labelsOf(object) }]);
  const gateway = labelledGateway(object);
  if (gateway === undefined) return unit;
  return { ...unit, facts: new Map([...(unit.facts ?? []), [fact.waypointNodes(gateway), compiled.node]]) };
}

function gatewayUnit(reader: FactReader, object: KubeObject, mesh: MeshSettings): CompiledObject {
  const unit = { resources: networkGateways(object, mesh).map(workload), status: NO_STATUS };
  const gateway = `${namespaceOf(object)}/${object.metadata.name}`;
  if (!isOurs(reader, gateway)) return unit;
  return { ...unit, status: gatewayStatus(object), subUnits: [subUnit("listeners", gateway)] };
}

function serviceUnit(reader: FactReader, object: KubeObject, mesh: MeshSettings): CompiledObject {
  const compiled = compileService(reader, object, mesh);
  if (!compiled) return NOTHING;
  const { front, requirement } = compiled;
  return {
    ...withConditions([service(compiled.service)], compiled.conditions, front.gateways),
    facts: new Map([...frontFacts([front]), ...requirementFacts(requirement ? [requirement] : [])]),
    subUnits: [...servedUnits([front]), ...(requirement ? [subUnit("required", front.key)] : [])],
  };
}

function serviceEntryUnit(reader: FactReader, object: KubeObject, mesh: MeshSettings): CompiledObject {
  const compiled = compileServiceEntry(reader, object, mesh);
  if (!compiled) return NOTHING;
  const { fronts, requirements } = compiled;
  return {
    ...withConditions(
      [...compiled.services.map(service), ...compiled.workloads.map(workload)],
      [...compiled.conditions, ...dynamicProblems(fronts)],
    ),
    facts: new Map([...frontFacts(fronts), ...requirementFacts(requirements), ...compiled.members]),
    subUnits: [...servedUnits(fronts), ...requirements.map((each) => subUnit("required", each.service))],
  };
}

const requirementFacts = (requirements: readonly WaypointRequirement[]): Facts =>
  new Map(requirements.map((each) => [fact.requirement(each.service), each]));

/** The parts of each waypoint's configuration that come of a service it serves. */
const servedUnits = (fronts: readonly ServiceFront[]): readonly string[] =>
  fronts.flatMap(({ key, gateways }) =>
    gateways.flatMap((gateway) =>
      (["chains", "routes", "clusters", "endpoints"] as const).map((kind) => subUnit(kind, gateway, key)),
    ),
  );

function compilePeerAuthentication(reader: FactReader, object: KubeObject, mesh: MeshSettings): CompiledObject {
  const read = readPeerAuthentication(object);
  const { rootNamespace } = mesh;
  const hasEffect = read.selector !== undefined && read.fact.namespace !== rootNamespace;
  const byPort = hasEffect
    ? portLevelPolicy(read.fact, inheritedMode(reader, read.fact.namespace, rootNamespace))
    : undefined;
  return withConditions(byPort ? [policy(byPort)] : [], [peerAuthenticationCondition(reader, read, rootNamespace)]);
}

/** A gateway that labels itself with a network, as the workload that answers for that network's addresses. */
function networkGateways(object: KubeObject, mesh: MeshSettings): readonly Workload[] {
  const network = object.metadata.labels?.["topology.istio.io/network"];
  const port = gatewayListeners(object).find(({ protocol }) => protocol === "HBONE")?.port;
  const [address] = gatewayAddresses(object).ips;
  if (network === undefined || port === undefined || address === undefined) return [];
  const { name } = object.metadata;
  return [
    {
      uid: `NetworkGateway/${network}/${address}/${port}`,
      name,
      namespace: namespaceOf(object),
      serviceAccount: gatewayAccount(object),
      trustDomain: mesh.trustDomain,
      addresses: [address],
      hostname: "",
      network,
      networkMode: "Standard",
      protocol: "HBONE",
      nativeTunnel: true,
      node: "",
      clusterId: mesh.clusterId,
      canonicalName: name,
      canonicalRevision: "latest",
      workloadName: name,
      workloadType: "pod",
      status: "Healthy",
      locality: NO_LOCALITY,
      capacity: 1,
      authorizationPolicies: [],
      services: {},
    },
  ];
}
