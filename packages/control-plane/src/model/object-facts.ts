import {
  annotationsOf,
  type KubeObject,
  labelsAt,
  labelsOf,
  namespaceOf,
  recordAt,
  recordsAt,
  textAt,
  textsAt,
  waypointName,
} from "@ambit/shared/kube";
import { parseIp } from "@ambit/shared/net";
import type { LinkPort, ServiceLink } from "./facts.ts";

/** Reading the kinds that say something about workloads other than themselves. Total, like all accessors. */
export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
const EXPORT_TO = "exportTo";

export const serviceHostname = (object: KubeObject, clusterDomain: string): string =>
  `${object.metadata.name}.${namespaceOf(object)}.svc.${clusterDomain}`;

/** A Kubernetes Service as its endpoints see it. */
export function serviceLink(object: KubeObject, clusterDomain: string): ServiceLink {
  const ports = recordsAt(object.spec, "ports").flatMap((port): LinkPort[] => {
    const { port: servicePort, targetPort } = port;
    if (typeof servicePort !== "number") return [];
    const target = targetPort === undefined || targetPort === 0 || targetPort === "" ? servicePort : targetPort;
    return [{ name: textAt(port, "name"), servicePort, target: target as number | string }];
  });
  return { key: `${namespaceOf(object)}/${serviceHostname(object, clusterDomain)}`, ports };
}

/** One link a host of a ServiceEntry. */
export function serviceEntryLinks(object: KubeObject): readonly ServiceLink[] {
  const ports = recordsAt(object.spec, "ports").map((port): LinkPort => {
    const servicePort = Number(port["number"]);
    return { name: textAt(port, "name"), servicePort, target: Number(port["targetPort"] ?? servicePort) };
  });
  return [...new Set(textsAt(object.spec, "hosts"))].map((host) => ({ key: `${namespaceOf(object)}/${host}`, ports }));
}

/** Who may see a ServiceEntry. A list of other namespaces counts as everybody, as in Istio's ambient mode. */
export function visibilityOf(object: KubeObject): "Public" | "Namespace" | "None" {
  const exported = textsAt(object.spec, EXPORT_TO);
  if (exported.length === 0) return "Public";
  if (exported.includes("~")) return "None";
  return exported.every((each) => each === "." || each === namespaceOf(object)) ? "Namespace" : "Public";
}

/** Ports of an EndpointSlice by name; nameless ports have the empty name. */
export function slicePorts(slice: KubeObject): readonly { readonly name: string; readonly port: number }[] {
  return recordsAt(slice, "ports").flatMap((each) => {
    const { port } = each;
    const isTcp = (textAt(each, "protocol") || "TCP") === "TCP";
    return typeof port === "number" && isTcp ? [{ name: textAt(each, "name"), port }] : [];
  });
}

/** Addresses of a Gateway, host names and IPs apart; an address without type is an IP. */
export function gatewayAddresses(object: KubeObject) {
  const addresses = recordsAt(object.status, "addresses");
  const ofType = (type: string): readonly string[] =>
    addresses.filter((each) => (textAt(each, "type") || "IPAddress") === type).map((each) => textAt(each, "value"));
  return {
    hostnames: ofType("Hostname").filter((name) => name !== ""),
    ips: ofType("IPAddress").flatMap((text) => {
      const ip = parseIp(text);
      return ip.ok ? [ip.value] : [];
    }),
  };
}

/** The service account a Gateway's pods run as: named by the Gateway, else called like them. */
export const gatewayAccount = (gateway: KubeObject): string =>
  annotationsOf(gateway)["gateway.istio.io/service-account"] || waypointName(gateway);

/** An annotation that a Gateway's pods get: of its infrastructure, or its own where it says nothing of one. */
export function infrastructureAnnotation(gateway: KubeObject, name: string): string {
  const infrastructure = gateway.spec?.["infrastructure"];
  if (infrastructure === undefined) return annotationsOf(gateway)[name] ?? "";
  return textAt(recordAt(recordAt(gateway.spec, "infrastructure"), "annotations"), name);
}

export function gatewayListeners(object: KubeObject) {
  return recordsAt(object.spec, "listeners").map((listener) => {
    const namespaces = recordAt(recordAt(listener, "allowedRoutes"), "namespaces");
    return {
      port: Number(listener["port"]),
      protocol: textAt(listener, "protocol"),
      from: textAt(namespaces, "from") || "Same",
      selector: namespaces["selector"],
    };
  });
}

export const labelsAndAnnotations = (object: KubeObject) => ({
  labels: labelsOf(object),
  annotations: annotationsOf(object),
});

/** The labels a Service or ServiceEntry selects workloads by; empty when it selects none. */
export const selectorOf = (object: KubeObject) =>
  object.kind === "Service"
    ? labelsAt(object.spec, "selector")
    : labelsAt(recordAt(object.spec, "workloadSelector"), "labels");
