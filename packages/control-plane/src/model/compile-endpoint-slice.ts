import { type KubeObject, labelsOf, namespaceOf, recordAt, recordsAt, textsAt } from "@ambit/shared/kube";
import { type IpAddress, parseIp } from "@ambit/shared/net";
import type { PortMapping, Workload } from "@ambit/shared/workload";
import { NO_LOCALITY, networkOf } from "./compile-workload.ts";
import type { FactReader } from "./fact-store.ts";
import { fact } from "./facts.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import { SERVICE_NAME_LABEL, slicePorts } from "./object-facts.ts";
import { servicesMap } from "./workload-services.ts";

/**
 * Endpoints that are no pods, as Workloads without identity: their addresses may be anybody's, so nothing is
 * authenticated or authorized by them. Endpoints that are pods come from the pods themselves.
 *
 * Parity: istio pilot ambient/workloads.go endpointSlicesBuilder
 */
export function compileEndpointSlice(reader: FactReader, slice: KubeObject, mesh: MeshSettings): readonly Workload[] {
  const namespace = namespaceOf(slice);
  const serviceName = labelsOf(slice)[SERVICE_NAME_LABEL];
  if (serviceName === undefined || slice["addressType"] === "FQDN") return [];
  const [link] = reader.read(fact.service(namespace, serviceName));
  if (!link) return [];
  const ports = slicePorts(slice);
  const services = servicesMap([{ link, targetOf: ({ name }) => ports.find((port) => port.name === name)?.port }]);
  return recordsAt(slice, "endpoints").flatMap((endpoint) => {
    if (recordAt(endpoint, "targetRef")["kind"] === "Pod") return [];
    const isReady = recordAt(endpoint, "conditions")["ready"] !== false;
    return textsAt(endpoint, "addresses").flatMap((text) => {
      const ip = parseIp(text);
      return ip.ok
        ? [endpointWorkload(reader, mesh, { slice, serviceName, address: ip.value, isReady, services })]
        : [];
    });
  });
}

interface EndpointInit {
  readonly slice: KubeObject;
  readonly serviceName: string;
  readonly address: IpAddress;
  readonly isReady: boolean;
  readonly services: Readonly<Record<string, readonly PortMapping[]>>;
}

function endpointWorkload(reader: FactReader, mesh: MeshSettings, init: EndpointInit): Workload {
  const namespace = namespaceOf(init.slice);
  return {
    uid: `${mesh.clusterId}/discovery.k8s.io/EndpointSlice/${namespace}/${init.slice.metadata.name}/${init.address}`,
    name: init.slice.metadata.name,
    namespace,
    serviceAccount: "default",
    trustDomain: mesh.trustDomain,
    addresses: [init.address],
    hostname: "",
    network: networkOf(reader, mesh),
    networkMode: "HostNetwork",
    protocol: "TCP",
    nativeTunnel: false,
    node: "",
    clusterId: mesh.clusterId,
    canonicalName: init.serviceName,
    canonicalRevision: "latest",
    workloadName: init.slice.metadata.name,
    workloadType: "pod",
    status: init.isReady ? "Healthy" : "Unhealthy",
    locality: NO_LOCALITY,
    capacity: 1,
    authorizationPolicies: [],
    services: init.services,
  };
}
