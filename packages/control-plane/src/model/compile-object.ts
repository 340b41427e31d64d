import { annotationsOf, type KubeObject, namespaceOf } from "@ambit/shared/kube";
import type { AuthorizationPolicy } from "@ambit/shared/policy";
import { policyKey } from "@ambit/shared/policy";
import { type Service, serviceKey, type Workload } from "@ambit/shared/workload";
import { compileAuthorization } from "./compile-authorization.ts";
import { compileEndpointSlice } from "./compile-endpoint-slice.ts";
import { inheritedMode, peerAuthenticationCondition, portLevelPolicy } from "./compile-peer-authentication.ts";
import { compileService } from "./compile-service.ts";
import { compileServiceEntry } from "./compile-service-entry.ts";
import { compilePod, NO_LOCALITY } from "./compile-workload.ts";
import { compileWorkloadEntry } from "./compile-workload-entry.ts";
import type { Condition } from "./condition.ts";
import type { FactReader } from "./fact-store.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import { gatewayAddresses, gatewayListeners } from "./object-facts.ts";
import { readPeerAuthentication } from "./peer-authentication-fact.ts";

/** One xDS resource before it is encoded. */
export type MeshResource =
  | { readonly kind: "workload"; readonly name: string; readonly value: Workload }
  | { readonly kind: "service"; readonly name: string; readonly value: Service }
  | { readonly kind: "policy"; readonly name: string; readonly value: AuthorizationPolicy };

export interface CompiledObject {
  readonly resources: readonly MeshResource[];
  readonly conditions: readonly Condition[];
}

const NOTHING: CompiledObject = { resources: [], conditions: [] };

export const workload = (value: Workload): MeshResource => ({ kind: "workload", name: value.uid, value });
export const service = (value: Service): MeshResource => ({ kind: "service", name: serviceKey(value), value });
export const policy = (value: AuthorizationPolicy): MeshResource => ({ kind: "policy", name: policyKey(value), value });

/** Kinds that become resources. */
export const COMPILED_KINDS: ReadonlySet<string> = new Set([
  "Pod",
  "Service",
  "ServiceEntry",
  "WorkloadEntry",
  "EndpointSlice",
  "Gateway",
  "AuthorizationPolicy",
  "PeerAuthentication",
]);

/** What one object becomes. Pure: a function of the object and of the facts it reads. */
export function compileObject(reader: FactReader, object: KubeObject, mesh: MeshSettings): CompiledObject {
  switch (object.kind) {
    case "Pod":
      return workloads([compilePod(reader, object, mesh)]);
    case "WorkloadEntry":
      return workloads([compileWorkloadEntry(reader, object, mesh)]);
    case "EndpointSlice":
      return workloads(compileEndpointSlice(reader, object, mesh));
    case "Gateway":
      return workloads(networkGateways(object, mesh));
    case "Service": {
      const compiled = compileService(reader, object, mesh);
      return compiled ? { resources: [service(compiled.service)], conditions: compiled.conditions } : NOTHING;
    }
    case "ServiceEntry": {
      const compiled = compileServiceEntry(reader, object, mesh);
      if (!compiled) return NOTHING;
      const resources = [...compiled.services.map(service), ...compiled.workloads.map(workload)];
      return { resources, conditions: compiled.conditions };
    }
    case "AuthorizationPolicy": {
      const compiled = compileAuthorization(object, mesh.rootNamespace);
      return { resources: compiled.policy ? [policy(compiled.policy)] : [], conditions: [compiled.condition] };
    }
    case "PeerAuthentication":
      return compilePeerAuthentication(reader, object, mesh);
    default:
      return NOTHING;
  }
}

const workloads = (values: readonly (Workload | undefined)[]): CompiledObject => ({
  resources: values.flatMap((value) => (value ? [workload(value)] : [])),
  conditions: [],
});

function compilePeerAuthentication(reader: FactReader, object: KubeObject, mesh: MeshSettings): CompiledObject {
  const read = readPeerAuthentication(object);
  const { rootNamespace } = mesh;
  const hasEffect = read.selector !== undefined && read.fact.namespace !== rootNamespace;
  const byPort = hasEffect
    ? portLevelPolicy(read.fact, inheritedMode(reader, read.fact.namespace, rootNamespace))
    : undefined;
  return { resources: byPort ? [policy(byPort)] : [], conditions: [peerAuthenticationCondition(read, rootNamespace)] };
}

/** A gateway that labels itself with a network, as the workload that answers for that network's addresses. */
function networkGateways(object: KubeObject, mesh: MeshSettings): readonly Workload[] {
  const network = object.metadata.labels?.["topology.istio.io/network"];
  const port = gatewayListeners(object).find(({ protocol }) => protocol === "HBONE")?.port;
  const [address] = gatewayAddresses(object).ips;
  if (network === undefined || port === undefined || address === undefined) return [];
  const { name } = object.metadata;
  const account = annotationsOf(object)["gateway.istio.io/service-account"] ?? name;
  return [
    {
      uid: `NetworkGateway/${network}/${address}/${port}`,
      name,
      namespace: namespaceOf(object),
      serviceAccount: account,
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
