/** Which Gateways are waypoints, and the names and labels of what is made for one. Parity: Istio. */
import { createHash } from "node:crypto";
import { annotationsOf, textAt } from "./accessors.ts";
import type { KubeObject } from "./model.ts";

export const AMBIT_WAYPOINT_CLASS = "ambit-waypoint";
export const ISTIO_WAYPOINT_CLASS = "istio-waypoint";
/** Class name -> the controller its GatewayClass object names. */
export const WAYPOINT_CONTROLLERS: Readonly<Record<string, string>> = {
  [AMBIT_WAYPOINT_CLASS]: "ambit.io/mesh-controller",
  [ISTIO_WAYPOINT_CLASS]: "istio.io/mesh-controller",
};

export const GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name";
export const GATEWAY_CLASS_LABEL = "gateway.networking.k8s.io/gateway-class-name";
export const MANAGED_LABEL = "gateway.istio.io/managed";
export const MANAGED_WAYPOINT = "istio.io-mesh-controller";
export const USE_WAYPOINT_LABEL = "istio.io/use-waypoint";
export const USE_WAYPOINT_NAMESPACE_LABEL = "istio.io/use-waypoint-namespace";
export const WAYPOINT_FOR_LABEL = "istio.io/waypoint-for";
/** On the Gateway: how many pods. Absent = 1. */
export const REPLICAS_ANNOTATION = "ambit.io/replicas";
export const MAX_WAYPOINT_REPLICAS = 100;
const NAME_OVERRIDE = "gateway.istio.io/name-override";
const MAX_LABEL = 63;
const HASH_LENGTH = 8;

/** Of a class by its well-known name, or of one whose GatewayClass names a waypoint controller. */
export function isWaypointGateway(gateway: KubeObject, gatewayClass?: KubeObject): boolean {
  const controller = textAt(gatewayClass?.spec, "controllerName");
  if (controller !== "") return Object.values(WAYPOINT_CONTROLLERS).includes(controller);
  return Object.hasOwn(WAYPOINT_CONTROLLERS, textAt(gateway.spec, "gatewayClassName"));
}

/** The GatewayClass objects of the two waypoint classes. */
export const waypointClasses = (): readonly KubeObject[] =>
  Object.entries(WAYPOINT_CONTROLLERS).map(([name, controllerName]) => ({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "GatewayClass",
    metadata: { name },
    spec: { controllerName, description: "layer-7 proxy of a namespace's or a service's traffic" },
  }));

/** Name of the Deployment and the Service; of the ServiceAccount too unless the Gateway names another. */
export function waypointName(gateway: KubeObject): string {
  return dnsLabel(annotationsOf(gateway)[NAME_OVERRIDE] || gateway.metadata.name);
}

/** A Service's name is one DNS label, a Gateway's may be 253 characters with dots. */
function dnsLabel(name: string): string {
  if (name.length <= MAX_LABEL && !name.includes(".")) return name;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, HASH_LENGTH);
  return `${name.replaceAll(".", "-").slice(0, MAX_LABEL - HASH_LENGTH - 1)}-${hash}`;
}

/** Whether `object` was made for this very Gateway, and not for an earlier one of the same name. */
export const isMadeFor = (object: KubeObject, gateway: KubeObject): boolean =>
  (object.metadata.ownerReferences ?? []).some(
    ({ kind, uid }) => kind === "Gateway" && uid !== undefined && uid === gateway.metadata.uid,
  );

/** Longer texts, which no label may hold, keep their beginning and get a hash. */
export const shortLabel = (text: string): string => (text.length <= MAX_LABEL ? text : dnsLabel(text));
