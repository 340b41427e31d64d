import { type KubeObject, USE_WAYPOINT_LABEL } from "@ambit/shared/kube";
import type { PodStatus } from "@ambit/shared/lab-client";
import { renderTable } from "./table.ts";

/** What people type for a kind, and the kind itself. */
const KINDS: Readonly<Record<string, string>> = {
  ns: "Namespace",
  namespace: "Namespace",
  namespaces: "Namespace",
  no: "Node",
  node: "Node",
  nodes: "Node",
  po: "Pod",
  pod: "Pod",
  pods: "Pod",
  svc: "Service",
  service: "Service",
  services: "Service",
  deploy: "Deployment",
  deployment: "Deployment",
  deployments: "Deployment",
  sa: "ServiceAccount",
  serviceaccount: "ServiceAccount",
  serviceaccounts: "ServiceAccount",
  ap: "AuthorizationPolicy",
  authorizationpolicy: "AuthorizationPolicy",
  authorizationpolicies: "AuthorizationPolicy",
  pa: "PeerAuthentication",
  peerauthentication: "PeerAuthentication",
  peerauthentications: "PeerAuthentication",
  se: "ServiceEntry",
  serviceentry: "ServiceEntry",
  serviceentries: "ServiceEntry",
  gtw: "Gateway",
  gateway: "Gateway",
  gateways: "Gateway",
  gc: "GatewayClass",
  gatewayclass: "GatewayClass",
  gatewayclasses: "GatewayClass",
  httproute: "HTTPRoute",
  httproutes: "HTTPRoute",
  grpcroute: "GRPCRoute",
  grpcroutes: "GRPCRoute",
  tcproute: "TCPRoute",
  tcproutes: "TCPRoute",
  tlsroute: "TLSRoute",
  tlsroutes: "TLSRoute",
  refgrant: "ReferenceGrant",
  referencegrant: "ReferenceGrant",
  referencegrants: "ReferenceGrant",
  vs: "VirtualService",
  virtualservice: "VirtualService",
  virtualservices: "VirtualService",
  dr: "DestinationRule",
  destinationrule: "DestinationRule",
  destinationrules: "DestinationRule",
  ra: "RequestAuthentication",
  requestauthentication: "RequestAuthentication",
  requestauthentications: "RequestAuthentication",
  telemetry: "Telemetry",
  telemetries: "Telemetry",
  we: "WorkloadEntry",
  workloadentry: "WorkloadEntry",
  workloadentries: "WorkloadEntry",
};

/** The kind a word means: a short name, a plural, or the kind itself in any case. */
export function kindOf(word: string): string {
  return KINDS[word.toLowerCase()] ?? word;
}

export const isClusterScoped = (kind: string): boolean =>
  kind === "Namespace" || kind === "Node" || kind === "GatewayClass";

export function renderPods(pods: readonly PodStatus[]): string {
  const rows = pods.map((pod) => [
    pod.namespace,
    pod.name,
    pod.ready ? "ready" : "not ready",
    pod.phase,
    String(pod.restarts),
    pod.node,
    pod.ip,
    pod.enrolled ? "enrolled" : "-",
  ]);
  return renderTable(["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "NODE", "IP", "MESH"], rows);
}

/** One row an object; the last column is what matters most about that kind. */
export function renderObjects(kind: string, objects: readonly KubeObject[]): string {
  const rows = objects.map((object) => [object.metadata.namespace ?? "", object.metadata.name, summaryOf(object)]);
  if (isClusterScoped(kind))
    return renderTable(
      ["NAME", "SUMMARY"],
      rows.map((row) => row.slice(1)),
    );
  return renderTable(["NAMESPACE", "NAME", "SUMMARY"], rows);
}

function summaryOf(object: KubeObject): string {
  const conditions = conditionsOf(object);
  const spec = object.spec ?? {};
  switch (object.kind) {
    case "Namespace":
      return `dataplane-mode=${object.metadata.labels?.["istio.io/dataplane-mode"] ?? "-"}${waypointOf(object)}`;
    case "Service":
      return [`${String(spec["clusterIP"] ?? "None")} ${portsOf(spec["ports"])}${waypointOf(object)}`, conditions]
        .filter(Boolean)
        .join(" ");
    case "Gateway":
      return [`class=${String(spec["gatewayClassName"] ?? "-")}`, conditions].filter(Boolean).join(" ");
    case "GatewayClass":
      return [`controller=${String(spec["controllerName"] ?? "-")}`, conditions].filter(Boolean).join(" ");
    case "HTTPRoute":
    case "GRPCRoute":
    case "TCPRoute":
    case "TLSRoute":
      return parentsOf(object);
    case "Deployment":
      return `replicas=${String(spec["replicas"] ?? 1)}`;
    case "AuthorizationPolicy":
      return [String(spec["action"] ?? "ALLOW"), conditions].filter(Boolean).join(" ");
    default:
      return conditions;
  }
}

function portsOf(ports: unknown): string {
  if (!Array.isArray(ports)) return "";
  return ports.map((port: { port?: number; protocol?: string }) => `${port.port}/${port.protocol ?? "TCP"}`).join(",");
}

function waypointOf({ metadata }: KubeObject): string {
  const name = metadata.labels?.[USE_WAYPOINT_LABEL];
  return name === undefined ? "" : ` waypoint=${name}`;
}

/** `Service/web: Accepted=True, ...` for each parent a route was looked at for. */
function parentsOf(object: KubeObject): string {
  const parents = object.status?.["parents"];
  if (!Array.isArray(parents)) return "";
  return parents
    .map((parent: { parentRef?: { kind?: string; name?: string }; conditions?: unknown }) => {
      const { kind = "Gateway", name = "" } = parent.parentRef ?? {};
      return `${kind}/${name}: ${conditionTexts(parent.conditions)}`;
    })
    .join("; ");
}

const conditionsOf = (object: KubeObject): string => conditionTexts(object.status?.["conditions"]);

function conditionTexts(conditions: unknown): string {
  if (!Array.isArray(conditions)) return "";
  return conditions
    .map((item: { type?: string; status?: string; reason?: string; message?: string }) => {
      const why = item.status === "True" ? "" : ` (${item.reason ?? ""}: ${item.message ?? ""})`;
      return `${item.type}=${item.status}${why}`;
    })
    .join(", ");
}
