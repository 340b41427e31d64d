import {
  annotationsOf,
  type KubeObject,
  labelsOf,
  namespaceOf,
  objectKey,
  recordsAt,
  textAt,
  textsAt,
} from "@ambit/shared/kube";
import { parseIp } from "@ambit/shared/net";
import type { PortMapping, Service } from "@ambit/shared/workload";
import { networkOf } from "./compile-workload.ts";
import type { Condition } from "./condition.ts";
import type { FactReader } from "./fact-store.ts";
import { fact } from "./facts.ts";
import { claimOf } from "./host-claims.ts";
import { loadBalancingOf, TRAFFIC_DISTRIBUTION } from "./load-balancing.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import { serviceHostname } from "./object-facts.ts";
import type { ServiceFront, WaypointRequirement } from "./waypoint/derived-facts.ts";
import { requirementOf } from "./waypoint/requirement.ts";
import { serviceFront, servicePortsOf } from "./waypoint/service-front.ts";
import { bindWaypoint, canaryOf, gatewaysInFront, type WaypointBinding, weightedWaypoints } from "./waypoint.ts";

export interface CompiledService {
  readonly service: Service;
  readonly front: ServiceFront;
  readonly requirement: WaypointRequirement | undefined;
  readonly conditions: readonly Condition[];
}

/**
 * A Kubernetes Service; undefined for an ExternalName, and for one whose hostname somebody older claims.
 *
 * Parity: istio pilot ambient/services.go serviceServiceBuilder
 */
export function compileService(
  reader: FactReader,
  object: KubeObject,
  mesh: MeshSettings,
): CompiledService | undefined {
  if (textAt(object.spec, "type") === "ExternalName") return undefined;
  const namespace = namespaceOf(object);
  const hostname = serviceHostname(object, mesh.clusterDomain);
  if (!claimOf(reader, hostname, objectKey(object)).isOwner) return undefined;
  const network = networkOf(reader, mesh);
  const subject = { traffic: "service" as const, namespace, labels: labelsOf(object) };
  const binding = bindWaypoint(reader, subject, network);
  const canary = canaryOf(reader, { ...subject, annotations: annotationsOf(object) }, binding, network);
  const gateways = gatewaysInFront(binding, canary);
  const loadBalancing = serviceLoadBalancing(reader, object);
  const service: Service = {
    name: object.metadata.name,
    namespace,
    hostname,
    vips: clusterIps(object).map((address) => ({ network, address })),
    cidrVips: [],
    ports: servicePorts(object),
    subjectAltNames: [],
    ...(binding.kind === "none" ? {} : { waypoint: binding.address }),
    weightedWaypoints: weightedWaypoints(binding, canary),
    ...(loadBalancing && { loadBalancing }),
    ipFamilies: ipFamiliesOf(object),
    canonical: true,
    visibility: "Public",
  };
  const front = serviceFront(reader, { object, service, ports: servicePortsOf(object), gateways });
  const requirement = requirementOf(reader, mesh, { object, front, binding, gateways });
  return { service, front, requirement, conditions: waypointConditions(binding) };
}

/** Whether the waypoint an object asks for is in front of it; nothing to say when it asks for none. */
export function waypointConditions(binding: WaypointBinding): readonly Condition[] {
  const type = "istio.io/WaypointBound";
  switch (binding.kind) {
    case "none":
      return [];
    case "bound":
      return [{ type, status: "True", reason: "WaypointAccepted", message: `bound to Gateway ${binding.gateway}` }];
    case "unavailable":
      return [{ type, status: "False", reason: binding.reason, message: binding.message }];
    default:
      return binding satisfies never;
  }
}

function clusterIps(object: KubeObject) {
  const several = textsAt(object.spec, "clusterIPs");
  const texts = several.length > 0 ? several : [textAt(object.spec, "clusterIP")];
  const parsed = texts.map(parseIp).flatMap((each) => (each.ok ? [each.value] : []));
  return [...new Set(parsed)];
}

/** A named target port is 0: each endpoint has its own. Without one, the service port itself. */
function servicePorts(object: KubeObject): readonly PortMapping[] {
  return recordsAt(object.spec, "ports").flatMap((port) => {
    const { port: servicePort, targetPort } = port;
    if (typeof servicePort !== "number") return [];
    if (typeof targetPort === "number" && targetPort !== 0) return [{ servicePort, targetPort }];
    return [{ servicePort, targetPort: typeof targetPort === "string" && targetPort !== "" ? 0 : servicePort }];
  });
}

function ipFamiliesOf(object: KubeObject): Service["ipFamilies"] {
  const families = textsAt(object.spec, "ipFamilies");
  if (families.length > 1) return "Dual";
  if (families.length === 0) return "Automatic";
  return families[0] === "IPv6" ? "IPv6" : "IPv4";
}

function serviceLoadBalancing(reader: FactReader, object: KubeObject) {
  const wishes = [
    textAt(object.spec, "trafficDistribution"),
    annotationsOf(object)[TRAFFIC_DISTRIBUTION],
    reader.read(fact.namespace(namespaceOf(object)))[0]?.annotations[TRAFFIC_DISTRIBUTION],
  ];
  return loadBalancingOf(wishes, {
    localOnly: textAt(object.spec, "internalTrafficPolicy") === "Local",
    allowUnhealthy: object.spec?.["publishNotReadyAddresses"] === true,
  });
}
