import { type Labels, selectorMatches } from "@ambit/shared/kube";
import { Port } from "@ambit/shared/net";
import type { GatewayAddress, Service } from "@ambit/shared/workload";
import type { FactReader } from "./fact-store.ts";
import { fact, type GatewayFact, type GatewayListener } from "./facts.ts";

const USE_WAYPOINT = "istio.io/use-waypoint";
const WAYPOINT_FOR = "istio.io/waypoint-for";
const MANAGED = "gateway.istio.io/managed";
export const GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name";
const INBOUND_BINDING = "ambient.istio.io/waypoint-inbound-binding";
const MANAGED_GATEWAYS: ReadonlySet<string> = new Set(["istio.io-mesh-controller", "istio.io-eastwest-controller"]);

/** Whether something has a waypoint in front of it. */
export type WaypointBinding =
  | { readonly kind: "none" }
  | { readonly kind: "bound"; readonly gateway: string; readonly address: GatewayAddress }
  /** It asks for one that it cannot have; `address` resolves to nothing, so that proxies refuse. */
  | {
      readonly kind: "unavailable";
      readonly gateway: string;
      readonly address: GatewayAddress;
      readonly reason: string;
      readonly message: string;
    };

export interface WaypointSubject {
  readonly traffic: "service" | "workload";
  readonly namespace: string;
  readonly labels: Labels;
  /** An entry that only its own namespace sees may not use another's waypoint. */
  readonly namespaceOnly?: boolean;
}

const NONE: WaypointBinding = { kind: "none" };

/**
 * The waypoint of a service or a workload: its own `istio.io/use-waypoint` label, else its namespace's.
 *
 * Spec: Istio ambient, "Configure waypoint proxies".
 * Differs: istiod sends traffic directly when the named waypoint is missing, not ready or not permitted
 * (istio.io#17520); here such an object gets a waypoint address that cannot resolve, and so is refused. The exception
 * is a workload that only inherits the name of a Gateway that does not exist, or is for services only: workloads are
 * opted in by the Gateway itself.
 */
export function bindWaypoint(reader: FactReader, subject: WaypointSubject, network: string): WaypointBinding {
  if (subject.traffic === "service" && MANAGED_GATEWAYS.has(subject.labels[MANAGED] ?? "")) return NONE;
  const asked = askedWaypoint(reader, subject, USE_WAYPOINT);
  return asked ? attach(reader, subject, asked, network) : NONE;
}

interface Asked {
  readonly namespace: string;
  readonly name: string;
  readonly inherited: boolean;
}

function askedWaypoint(reader: FactReader, subject: WaypointSubject, label: string): Asked | undefined {
  const [inherited] = reader.read(fact.namespace(subject.namespace));
  for (const labels of [subject.labels, inherited?.labels ?? {}]) {
    const name = labels[label];
    if (name === undefined || name === "") continue;
    if (name === "none") return undefined;
    const namespace = labels[`${label}-namespace`] || subject.namespace;
    return { namespace, name, inherited: labels !== subject.labels };
  }
  return undefined;
}

function attach(reader: FactReader, subject: WaypointSubject, asked: Asked, network: string): WaypointBinding {
  const [gateway] = reader.read(fact.gateway(asked.namespace, asked.name));
  const shown = `${asked.namespace}/${asked.name}`;
  const isInheritedWorkload = subject.traffic === "workload" && asked.inherited;
  const unavailable = (reason: string, message: string): WaypointBinding => ({
    kind: "unavailable",
    gateway: shown,
    address: unresolvable(asked),
    reason,
    message: `${message}; traffic is refused`,
  });
  if (!gateway) {
    return isInheritedWorkload ? NONE : unavailable("WaypointMissing", `there is no Gateway ${shown}`);
  }
  const trafficType = trafficTypeOf(reader, gateway);
  if (trafficType !== "all" && trafficType !== subject.traffic) {
    if (isInheritedWorkload) return NONE;
    return unavailable("WaypointTrafficType", `Gateway ${shown} is for ${trafficType} traffic, not ${subject.traffic}`);
  }
  if (!isAdmitted(reader, gateway, asked, subject)) {
    return unavailable("WaypointAttachmentDenied", `Gateway ${shown} does not admit namespace ${subject.namespace}`);
  }
  const address = addressOf(gateway, asked.namespace, network);
  return address
    ? { kind: "bound", gateway: shown, address }
    : unavailable("WaypointNotReady", `Gateway ${shown} has no address yet`);
}

/** A name below `.invalid` never resolves (RFC 6761), and tells whoever reads the proxy's log which waypoint is meant. */
const unresolvable = ({ namespace, name }: Asked): GatewayAddress => ({
  destination: { kind: "hostname", namespace, hostname: `${name}.${namespace}.waypoint.invalid` },
  hboneMtlsPort: Port.HBONE,
});

function addressOf(gateway: GatewayFact, namespace: string, network: string): GatewayAddress | undefined {
  const [hostname] = gateway.hostnames;
  if (hostname !== undefined) {
    return { destination: { kind: "hostname", namespace, hostname }, hboneMtlsPort: Port.HBONE };
  }
  const [address] = gateway.ips;
  return address && { destination: { kind: "address", network, address }, hboneMtlsPort: Port.HBONE };
}

function trafficTypeOf(reader: FactReader, gateway: GatewayFact): string {
  const own = gateway.labels[WAYPOINT_FOR];
  if (own !== undefined) return own;
  return reader.read(fact.gatewayClass(gateway.className))[0]?.labels[WAYPOINT_FOR] ?? "service";
}

function isAdmitted(reader: FactReader, gateway: GatewayFact, asked: Asked, subject: WaypointSubject): boolean {
  const same = asked.namespace === subject.namespace;
  if (subject.namespaceOnly && !same) return false;
  const listener = listenerFor(gateway, inboundBinding(reader, gateway));
  switch (listener?.from ?? "Same") {
    case "All":
      return true;
    case "Same":
      return same;
    case "Selector":
      return selectorMatches(listener?.selector, namespaceLabels(reader, subject.namespace));
    default:
      return false;
  }
}

/** Kubernetes puts a namespace's name on it as a label; a folder of YAML does not. */
const namespaceLabels = (reader: FactReader, name: string): Labels => ({
  "kubernetes.io/metadata.name": name,
  ...reader.read(fact.namespace(name))[0]?.labels,
});

export interface InboundBinding {
  readonly protocol: "NONE" | "PROXY";
  readonly port?: number;
}

/** How traffic reaches the gateway's pods behind their node proxy: `PROXY/15088` and the like. */
export function inboundBinding(reader: FactReader, gateway: GatewayFact): InboundBinding | undefined {
  const own = gateway.annotations[INBOUND_BINDING];
  const text = own ?? reader.read(fact.gatewayClass(gateway.className))[0]?.annotations[INBOUND_BINDING];
  const match = /^(NONE|PROXY)(?:\/([1-9]\d{0,4}))?$/.exec(text ?? "");
  if (!match) return undefined;
  const protocol = match[1] as "NONE" | "PROXY";
  return match[2] === undefined ? { protocol } : { protocol, port: Number(match[2]) };
}

function listenerFor(gateway: GatewayFact, binding: InboundBinding | undefined): GatewayListener | undefined {
  if (binding?.port !== undefined) return gateway.listeners.find(({ port }) => port === binding.port);
  if (binding?.protocol === "PROXY") return gateway.listeners.find(({ protocol }) => protocol === "istio.io/PROXY");
  return gateway.listeners.find(({ protocol, port }) => protocol === "HBONE" && port === Port.HBONE);
}

const CANARY = "istio.io/use-waypoint-canary";
const CANARY_WEIGHT = `${CANARY}-weight`;

/** A second waypoint that gets a share of the traffic. */
export interface Canary {
  /** `namespace/name` of its Gateway. */
  readonly gateway: string;
  readonly address: GatewayAddress;
  /** Percent. */
  readonly weight: number;
}

/** Undefined without a canary, and for one that cannot be used: the primary is then left alone. */
export function canaryOf(
  reader: FactReader,
  subject: WaypointSubject & { readonly annotations: Labels },
  primary: WaypointBinding,
  network: string,
): Canary | undefined {
  if (primary.kind !== "bound") return undefined;
  const ownWaypoint = subject.labels[USE_WAYPOINT] !== undefined;
  const [inherited] = ownWaypoint ? [] : reader.read(fact.namespace(subject.namespace));
  const weightText = subject.annotations[CANARY_WEIGHT] ?? inherited?.annotations[CANARY_WEIGHT] ?? "";
  const weight = /^\d{1,3}$/.test(weightText) ? Number(weightText) : Number.NaN;
  const labels = subject.labels[CANARY] === undefined ? (inherited?.labels ?? {}) : subject.labels;
  const name = labels[CANARY];
  if (name === undefined || name === "none" || !(weight >= 0 && weight <= 100)) return undefined;
  const asked = { name, namespace: labels[`${CANARY}-namespace`] || subject.namespace, inherited: false };
  const canary = attach(reader, subject, asked, network);
  return canary.kind === "bound" ? { gateway: canary.gateway, address: canary.address, weight } : undefined;
}

/** Primary and canary with their weights, or nothing. */
export function weightedWaypoints(primary: WaypointBinding, canary: Canary | undefined): Service["weightedWaypoints"] {
  if (primary.kind !== "bound" || !canary) return [];
  return [
    { destination: primary.address, weight: 100 - canary.weight },
    { destination: canary.address, weight: canary.weight },
  ];
}

/** `namespace/name` of the Gateways traffic to the subject goes through. */
export const gatewaysInFront = (primary: WaypointBinding, canary: Canary | undefined): readonly string[] =>
  primary.kind === "bound" ? [...new Set([primary.gateway, ...(canary ? [canary.gateway] : [])])] : [];
