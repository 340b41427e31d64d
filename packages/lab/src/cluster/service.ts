import { type KubeObject, type Labels, matchesLabels } from "@ambit/shared/kube";
import { type IpAddress, isIpv4, parseIp } from "@ambit/shared/net";
import { resolvePort } from "./container.ts";
import { type Fields, fieldsOf, listOf, numberOf, textMapOf, textOf, textsOf } from "./fields.ts";
import { isAddressable, type Pod } from "./pod.ts";

export interface Service {
  readonly name: string;
  readonly namespace: string;
  /** Empty for headless and ExternalName services. */
  readonly clusterIps: readonly IpAddress[];
  readonly headless: boolean;
  readonly externalName: string | undefined;
  readonly selector: Labels;
  readonly ports: readonly ServicePort[];
  readonly publishNotReady: boolean;
  readonly clientIpAffinity: boolean;
}

export interface ServicePort {
  readonly name: string | undefined;
  readonly port: number;
  readonly protocol: "TCP" | "UDP";
  /** A number, or the name of a port of the pod's containers. */
  readonly target: number | string;
  readonly nodePort: number | undefined;
}

export interface Endpoint {
  readonly ip: IpAddress;
  readonly port: number;
}

export function parseService(object: KubeObject): Service {
  const spec = fieldsOf(object.spec);
  const headless = spec["clusterIP"] === "None";
  const external = spec["type"] === "ExternalName" ? textOf(spec["externalName"]) : undefined;
  const ips = textsOf(spec["clusterIPs"] ?? (spec["clusterIP"] === undefined ? [] : [spec["clusterIP"]]));
  return {
    name: object.metadata.name,
    namespace: object.metadata.namespace ?? "default",
    headless,
    externalName: external,
    clusterIps: ips.flatMap((text) => {
      const ip = parseIp(text);
      return ip.ok ? [ip.value] : [];
    }),
    selector: textMapOf(spec["selector"]),
    ports: listOf(spec["ports"]).map(fieldsOf).flatMap(parsePort),
    publishNotReady: spec["publishNotReadyAddresses"] === true,
    clientIpAffinity: spec["sessionAffinity"] === "ClientIP",
  };
}

function parsePort(spec: Fields): ServicePort[] {
  const port = numberOf(spec["port"]);
  if (port === undefined || (spec["protocol"] ?? "TCP") === "SCTP") return [];
  return [
    {
      name: textOf(spec["name"]),
      port,
      protocol: spec["protocol"] === "UDP" ? "UDP" : "TCP",
      target: numberOf(spec["targetPort"]) ?? textOf(spec["targetPort"]) ?? port,
      nodePort: numberOf(spec["nodePort"]),
    },
  ];
}

/** The pods behind a service, in the order of their names, so that the same state always gives the same rules. */
export function podsOfService(service: Service, pods: readonly Pod[]): readonly Pod[] {
  // One without selector has its endpoints elsewhere; to "match everything" would be wrong.
  if (Object.keys(service.selector).length === 0) return [];
  return pods
    .filter(
      (pod) =>
        pod.namespace === service.namespace &&
        isAddressable(pod) &&
        (pod.status.ready || service.publishNotReady) &&
        matchesLabels(service.selector, pod.labels),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Endpoints of one port in one address family; a pod that lacks the named port has none. */
export function endpointsOf(port: ServicePort, backends: readonly Pod[], family: 4 | 6): readonly Endpoint[] {
  return backends.flatMap((pod) => {
    const ip = pod.status.ips.find((one) => isIpv4(one) === (family === 4));
    const target = targetPort(port, pod);
    return ip === undefined || target === undefined ? [] : [{ ip, port: target }];
  });
}

function targetPort({ target }: ServicePort, pod: Pod): number | undefined {
  if (typeof target === "number") return target;
  for (const container of pod.containers) {
    const found = resolvePort(container, target);
    if (found !== undefined) return found;
  }
  return undefined;
}
