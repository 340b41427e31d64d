import {
  annotationsOf,
  isHostNetwork,
  isReady,
  isTerminal,
  type KubeObject,
  type Labels,
  labelsOf,
  namedPortOf,
  namespaceOf,
  nodeNameOf,
  podIps,
  REDIRECTION_ANNOTATION,
  serviceAccountOf,
} from "@ambit/shared/kube";
import type { GatewayAddress, Locality, Workload } from "@ambit/shared/workload";
import type { FactReader } from "./fact-store.ts";
import { fact } from "./facts.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import { policiesOf, selectedBy } from "./selected-by.ts";
import { bindWaypoint, GATEWAY_NAME_LABEL, inboundBinding } from "./waypoint.ts";
import { canonicalNameOf, canonicalRevisionOf, workloadNameOf } from "./workload-name.ts";
import { byKey, type Membership, servicesMap } from "./workload-services.ts";

export const NO_LOCALITY: Locality = { region: "", zone: "", subzone: "" };

/**
 * A pod as a Workload; undefined for one that has finished, or has no usable address. Pods that are not ready are
 * there all the same: they may open connections, and their identity must be known when they do.
 *
 * Parity: istio pilot ambient/workloads.go podWorkloadBuilder
 */
export function compilePod(reader: FactReader, pod: KubeObject, mesh: MeshSettings): Workload | undefined {
  const addresses = podIps(pod);
  if (isTerminal(pod) || addresses === undefined || addresses.length === 0) return undefined;
  const namespace = namespaceOf(pod);
  const labels = labelsOf(pod);
  const node = nodeNameOf(pod);
  const network = networkOf(reader, mesh);
  const workloadName = workloadNameOf(pod);
  const selected = selectedBy(reader, namespace, labels, mesh.rootNamespace);
  return {
    uid: `${mesh.clusterId}//Pod/${namespace}/${pod.metadata.name}`,
    name: pod.metadata.name,
    namespace,
    serviceAccount: serviceAccountOf(pod),
    trustDomain: mesh.trustDomain,
    addresses,
    hostname: "",
    network,
    networkMode: isHostNetwork(pod) ? "HostNetwork" : "Standard",
    ...tunnelOf(labels, annotationsOf(pod)[REDIRECTION_ANNOTATION] === "enabled"),
    node,
    clusterId: mesh.clusterId,
    canonicalName: canonicalNameOf(labels, workloadName),
    canonicalRevision: canonicalRevisionOf(labels),
    workloadName,
    workloadType: "pod",
    status: isReady(pod) ? "Healthy" : "Unhealthy",
    locality: reader.read(fact.localityOfNode(node))[0] ?? NO_LOCALITY,
    capacity: 1,
    ...waypointOf(reader, pod, network),
    ...networkGatewayOf(reader, network),
    authorizationPolicies: policiesOf(reader, namespace, selected, mesh.rootNamespace),
    services: servicesMap([...podMemberships(pod, selected), ...sliceMemberships(reader, pod)]),
  };
}

/** HBONE once the node proxy says it captures the pod, or when the workload says it speaks HBONE itself. */
export function tunnelOf(labels: Labels, isCaptured: boolean): Pick<Workload, "protocol" | "nativeTunnel"> {
  const speaksHbone = (labels["networking.istio.io/tunnel"] ?? "").split(",").includes("http");
  return { protocol: isCaptured || speaksHbone ? "HBONE" : "TCP", nativeTunnel: speaksHbone };
}

export const networkOf = (reader: FactReader, mesh: MeshSettings): string =>
  reader.read(fact.network())[0] ?? mesh.network;

/** The gateway through which workloads of another network are reached; networks without a name have none. */
export function networkGatewayOf(reader: FactReader, network: string): { readonly networkGateway?: GatewayAddress } {
  if (network === "") return {};
  const [first] = [...reader.read(fact.networkGateway(network))].sort((a, b) => (a.address < b.address ? -1 : 1));
  if (!first) return {};
  const destination = { kind: "address", network: first.network, address: first.address } as const;
  return { networkGateway: { destination, hboneMtlsPort: first.hboneMtlsPort } };
}

/** A waypoint's own pods have no waypoint in front of them, but perhaps a way their traffic is handed to them. */
function waypointOf(
  reader: FactReader,
  pod: KubeObject,
  network: string,
): Pick<Workload, "waypoint" | "applicationTunnel"> {
  const namespace = namespaceOf(pod);
  const labels = labelsOf(pod);
  const gatewayName = labels[GATEWAY_NAME_LABEL];
  const [gateway] = gatewayName === undefined ? [] : reader.read(fact.gateway(namespace, gatewayName));
  if (gateway) {
    const applicationTunnel = inboundBinding(reader, gateway);
    return applicationTunnel ? { applicationTunnel } : {};
  }
  const binding = bindWaypoint(reader, { traffic: "workload", namespace, labels }, network);
  return binding.kind === "none" ? {} : { waypoint: binding.address };
}

function podMemberships(pod: KubeObject, selected: ReturnType<typeof selectedBy>): readonly Membership[] {
  const ofServices = [...selected.services].sort(byKey).map(
    (link): Membership => ({
      link,
      targetOf: ({ target }) => (typeof target === "number" ? target : namedPortOf(pod, target)),
    }),
  );
  const ofEntries = [...selected.serviceEntries].sort(byKey).map(
    (link): Membership => ({
      link,
      targetOf: ({ name, target }) => namedPortOf(pod, name) ?? Number(target),
    }),
  );
  return [...ofServices, ...ofEntries];
}

/** Services without selector whose EndpointSlice names this very pod. */
function sliceMemberships(reader: FactReader, pod: KubeObject): readonly Membership[] {
  const namespace = namespaceOf(pod);
  return reader
    .read(fact.targeting(namespace, pod.metadata.name))
    .filter(({ uid }) => uid === "" || uid === pod.metadata.uid)
    .flatMap((target) => {
      const { service, ports } = target;
      const [link] = reader.read(fact.service(target.namespace, service));
      if (!link || link.hasSelector) return [];
      return [{ link, targetOf: ({ name }: { name: string }) => ports.find((port) => port.name === name)?.port }];
    })
    .sort((a, b) => byKey(a.link, b.link));
}
