import { isWaypointGateway, type KubeObject, type ObjectKey, objectKey, recordsAt, textAt } from "@ambit/shared/kube";
import type { Service } from "@ambit/shared/workload";
import type { FactKey, FactReader, Facts } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { FrontPort, LocalityPreference, PortProtocol, ServiceFront } from "./derived-facts.ts";

type Fields = Readonly<Record<string, unknown>>;

/** `appProtocol` values and port name prefixes. Spec: Istio "Protocol Selection", Kubernetes standard app protocols. */
const PROTOCOLS: Readonly<Record<string, PortProtocol>> = {
  http: "http",
  http2: "http2",
  grpc: "grpc",
  "grpc-web": "grpc-web",
  "kubernetes.io/h2c": "http2",
  "kubernetes.io/ws": "http",
  "kubernetes.io/wss": "tls",
  https: "tls",
  tls: "tls",
  tcp: "tcp",
  mongo: "tcp",
  redis: "tcp",
  mysql: "tcp",
};

/** `appProtocol` counts before the port's name; an unknown one is opaque bytes, for its author knows better than we. */
export function protocolOf(name: string, appProtocol: string): PortProtocol {
  if (appProtocol !== "") return PROTOCOLS[appProtocol.toLowerCase()] ?? "tcp";
  const lower = name.toLowerCase();
  if (lower === "grpc-web" || lower.startsWith("grpc-web-")) return "grpc-web";
  return PROTOCOLS[lower.split("-", 1)[0] ?? ""] ?? "undeclared";
}

export const speaksHttp = (protocol: PortProtocol): boolean => protocol !== "tcp" && protocol !== "tls";
export const speaksOnlyHttp = (protocol: PortProtocol): boolean => speaksHttp(protocol) && protocol !== "undeclared";

/** The ports of a Kubernetes Service that carry bytes a waypoint can see. */
export function servicePortsOf(object: KubeObject): readonly FrontPort[] {
  return recordsAt(object.spec, "ports").flatMap((port): FrontPort[] => {
    const { port: number, targetPort } = port;
    const isTcp = (textAt(port, "protocol") || "TCP") === "TCP";
    if (typeof number !== "number" || !isTcp) return [];
    const given = targetPort === undefined || targetPort === 0 || targetPort === "" ? number : targetPort;
    const name = textAt(port, "name");
    const target = typeof given === "number" ? given : String(given);
    return [{ name, port: number, target, protocol: protocolOf(name, textAt(port, "appProtocol")) }];
  });
}

/** The ports of a ServiceEntry; without a protocol the name decides. */
export function entryPortsOf(object: KubeObject): readonly FrontPort[] {
  return recordsAt(object.spec, "ports").flatMap((port): FrontPort[] => {
    const number = Number(port["number"]);
    if (!Number.isInteger(number) || textAt(port, "protocol").toUpperCase() === "UDP") return [];
    const name = textAt(port, "name");
    const target = Number(port["targetPort"] ?? number);
    return [{ name, port: number, target, protocol: protocolOf(name, textAt(port, "protocol")) }];
  });
}

/** What resources may be called after: a stranger name could pass for another. */
const HOSTNAME = /^(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?$/i;

export interface FrontInit {
  readonly object: KubeObject;
  readonly service: Service;
  readonly ports: readonly FrontPort[];
  /** Gateways in front of it, `namespace/name`. */
  readonly gateways: readonly string[];
}

/** What waypoints need to know of a service, beside what node proxies are told. */
export function serviceFront(reader: FactReader, init: FrontInit): ServiceFront {
  const { object, service, ports } = init;
  return {
    key: `${service.namespace}/${service.hostname}`,
    object: objectKey(object) as ObjectKey,
    kind: object.kind as ServiceFront["kind"],
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    vips: service.vips.map(({ address }) => address),
    ports,
    gateways: HOSTNAME.test(service.hostname) ? init.gateways.filter((gateway) => isOurs(reader, gateway)) : [],
    discovery: discoveryOf(object, service.hostname),
    meshExternal: textAt(object.spec, "location") !== "MESH_INTERNAL" && object.kind === "ServiceEntry",
    includesUnready: service.loadBalancing?.healthPolicy === "AllowAll",
    locality: localityPreference(service),
    canonical: service.canonical,
  };
}

/** Gateways of other controllers get their configuration from these. */
export function isOurs(reader: FactReader, gateway: string): boolean {
  const [namespace = "", name = ""] = gateway.split("/");
  const [found] = reader.read(fact.gateway(namespace, name));
  if (!found) return false;
  const [gatewayClass] = reader.read(fact.gatewayClass(found.className));
  const asObject = (spec: Fields): KubeObject => ({ apiVersion: "", kind: "", metadata: { name: "" }, spec });
  return isWaypointGateway(
    asObject({ gatewayClassName: found.className }),
    gatewayClass && asObject({ controllerName: gatewayClass.controllerName }),
  );
}

function discoveryOf(object: KubeObject, hostname: string): ServiceFront["discovery"] {
  if (object.kind === "Service") return "eds";
  switch (textAt(object.spec, "resolution")) {
    case "STATIC":
      return "eds";
    case "DYNAMIC_DNS":
      return hostname.startsWith("*.") ? "dynamic-dns" : "strict-dns";
    case "DNS":
      return "strict-dns";
    case "DNS_ROUND_ROBIN":
      return "logical-dns";
    default:
      return "original-destination";
  }
}

function localityPreference({ loadBalancing }: Service): LocalityPreference {
  if (loadBalancing?.mode === "Failover") return { mode: "failover", scopes: loadBalancing.routingPreferences };
  if (loadBalancing?.mode === "Strict") return { mode: "strict", scopes: loadBalancing.routingPreferences };
  return { mode: "any", scopes: [] };
}

/** The facts by which the services of one object are found. */
export const frontFacts = (fronts: readonly ServiceFront[]): Facts =>
  new Map<FactKey<unknown>, unknown>([
    ...fronts.map((front) => [fact.front(front.key), front] as const),
    ...fronts.map((front) => [fact.fronts(front.hostname), front] as const),
    ...fronts.slice(0, 1).map((front) => [fact.frontsOf(front.object), fronts] as const),
  ]);
