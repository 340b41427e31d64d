import {
  type KubeObject,
  type Labels,
  labelsOf,
  namespaceOf,
  objectKey,
  recordAt,
  recordsAt,
  textAt,
} from "@ambit/shared/kube";
import type { Locality } from "@ambit/shared/workload";
import { compileAuthorization } from "./compile-authorization.ts";
import type { FactKey, Facts } from "./fact-store.ts";
import { fact, type Selecting } from "./facts.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import {
  gatewayAccount,
  gatewayAddresses,
  gatewayListeners,
  infrastructureAnnotation,
  labelsAndAnnotations,
  SERVICE_NAME_LABEL,
  selectorOf,
  serviceEntryLinks,
  serviceHostname,
  serviceLink,
  slicePorts,
  visibilityOf,
} from "./object-facts.ts";
import { readPeerAuthentication } from "./peer-authentication-fact.ts";
import { waypointFacts } from "./waypoint/object-facts.ts";
import { CLIENT_IDENTITY_ANNOTATION } from "./waypoint/proxy-headers.ts";
import { UNSUPPORTED_KINDS } from "./waypoint/status/unsupported-status.ts";

type Entry = readonly [FactKey<unknown>, unknown];

/** An entry whose answer has the type its question asks for. */
const entry = <T>(key: FactKey<T>, value: T): Entry => [key, value];

/** Everything the mesh can learn from one object. Kinds that mean nothing at L4 answer nothing. */
export function factsOf(object: KubeObject, mesh: MeshSettings): Facts {
  return new Map([...own(object), ...about(object, mesh), ...waypointFacts(object, mesh)]);
}

const COMPILED_WITH_STATUS = new Set(["Pod", "ServiceEntry", "EndpointSlice", "Gateway"]);
const COMPILED_WITHOUT_STATUS = new Set([
  "Service",
  "WorkloadEntry",
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

/** The object itself for its own unit. Status that we ourselves write must not look like a change. */
function own(object: KubeObject): readonly Entry[] {
  const key = fact.own(objectKey(object));
  if (COMPILED_WITH_STATUS.has(object.kind)) return [entry(key, object)];
  if (!COMPILED_WITHOUT_STATUS.has(object.kind)) return [];
  const { status: _status, ...rest } = object;
  return [entry(key, rest as KubeObject)];
}

function about(object: KubeObject, mesh: MeshSettings): readonly Entry[] {
  const { name } = object.metadata;
  switch (object.kind) {
    case "Namespace":
      return namespaceFacts(object, mesh);
    case "Node":
      return [entry(fact.localityOfNode(name), localityOf(labelsOf(object)))];
    case "GatewayClass":
      return [entry(fact.gatewayClass(name), gatewayClassFact(object))];
    case "Gateway":
      return gatewayFacts(object);
    case "Service":
      return serviceFacts(object, mesh);
    case "ServiceEntry":
      return serviceEntryFacts(object);
    case "EndpointSlice":
      return sliceFacts(object);
    case "AuthorizationPolicy":
      return authorizationFacts(object, mesh);
    case "PeerAuthentication":
      return peerAuthenticationFacts(object);
    default:
      return [];
  }
}

function namespaceFacts(object: KubeObject, mesh: MeshSettings): readonly Entry[] {
  const { name } = object.metadata;
  const network = labelsOf(object)["topology.istio.io/network"];
  const hasNetwork = name === mesh.rootNamespace && network !== undefined;
  return [
    entry(fact.namespace(name), labelsAndAnnotations(object)),
    ...(hasNetwork ? [entry(fact.network(), network)] : []),
  ];
}

const localityOf = (labels: Labels): Locality => ({
  region: labels["topology.kubernetes.io/region"] ?? "",
  zone: labels["topology.kubernetes.io/zone"] ?? "",
  subzone: labels["topology.istio.io/subzone"] ?? "",
});

const gatewayClassFact = (object: KubeObject) => ({
  ...labelsAndAnnotations(object),
  controllerName: textAt(object.spec, "controllerName"),
});

function gatewayFacts(object: KubeObject): readonly Entry[] {
  const addresses = gatewayAddresses(object);
  const listeners = gatewayListeners(object);
  const className = textAt(object.spec, "gatewayClassName");
  const network = labelsOf(object)["topology.istio.io/network"];
  const hbone = listeners.find(({ protocol }) => protocol === "HBONE");
  const account = gatewayAccount(object);
  const tellsClientIdentity = infrastructureAnnotation(object, CLIENT_IDENTITY_ANNOTATION) === "true";
  const facts = labelsAndAnnotations(object);
  const gateway = { className, account, tellsClientIdentity, ...facts, ...addresses, listeners };
  const [address] = addresses.ips;
  return [
    entry(fact.gateway(namespaceOf(object), object.metadata.name), gateway),
    entry(fact.gatewaysOfClass(className), `${namespaceOf(object)}/${object.metadata.name}`),
    ...(network !== undefined && hbone && address !== undefined
      ? [entry(fact.networkGateway(network), { network, address, hboneMtlsPort: hbone.port })]
      : []),
  ];
}

function serviceFacts(object: KubeObject, mesh: MeshSettings): readonly Entry[] {
  if (textAt(object.spec, "type") === "ExternalName") return [];
  const link = serviceLink(object, mesh.clusterDomain);
  const labels = selectorOf(object);
  const hasSelector = Object.keys(labels).length > 0;
  const namespace = namespaceOf(object);
  return [
    entry(fact.service(namespace, object.metadata.name), { ...link, hasSelector }),
    claim(object, serviceHostname(object, mesh.clusterDomain), "Public"),
    ...selecting(namespace, { by: "Service", labels, services: [link] }),
  ];
}

function serviceEntryFacts(object: KubeObject): readonly Entry[] {
  const visibility = visibilityOf(object);
  if (visibility === "None") return [];
  const services = serviceEntryLinks(object);
  const hosts = services.map(({ key }) => key.slice(key.indexOf("/") + 1));
  return [
    ...hosts.map((host) => claim(object, host, visibility)),
    ...selecting(namespaceOf(object), { by: "ServiceEntry", labels: selectorOf(object), services }),
  ];
}

function claim(object: KubeObject, hostname: string, visibility: "Public" | "Namespace"): Entry {
  return entry(fact.hostClaims(hostname), {
    object: objectKey(object),
    kind: object.kind as "Service" | "ServiceEntry",
    namespace: namespaceOf(object),
    createdAt: object.metadata.creationTimestamp ?? "9999",
    visibility,
  });
}

/** Files a selector under its first label; an empty one selects nothing. */
function selecting(namespace: string, answer: Selecting): readonly Entry[] {
  const [first] = Object.entries(answer.labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return first ? [entry(fact.selecting(namespace, ...first), answer)] : [];
}

function sliceFacts(object: KubeObject): readonly Entry[] {
  const service = labelsOf(object)[SERVICE_NAME_LABEL];
  if (service === undefined) return [];
  const ports = slicePorts(object);
  const namespace = namespaceOf(object);
  return recordsAt(object, "endpoints").flatMap((endpoint) => {
    const target = recordAt(endpoint, "targetRef");
    if (target["kind"] !== "Pod" || textAt(target, "name") === "") return [];
    const answer = { uid: textAt(target, "uid"), namespace, service, ports };
    return [entry(fact.targeting(textAt(target, "namespace") || namespace, textAt(target, "name")), answer)];
  });
}

function authorizationFacts(object: KubeObject, mesh: MeshSettings): readonly Entry[] {
  const { policy, selector } = compileAuthorization(object, mesh.rootNamespace);
  if (!policy || !selector) return [];
  const key = `${policy.namespace}/${policy.name}`;
  return selecting(policy.namespace, { by: "AuthorizationPolicy", labels: selector, policy: key });
}

function peerAuthenticationFacts(object: KubeObject): readonly Entry[] {
  const { fact: peerAuthentication, selector } = readPeerAuthentication(object);
  const { namespace } = peerAuthentication;
  return [
    entry(fact.anyPeerAuthentication(), true as const),
    ...(selector
      ? selecting(namespace, { by: "PeerAuthentication", labels: selector, peerAuthentication })
      : [entry(fact.peerAuthentications(namespace), peerAuthentication)]),
  ];
}
