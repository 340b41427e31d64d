import type { KubeObject } from "@ambit/shared/kube";
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
      return `dataplane-mode=${object.metadata.labels?.["istio.io/dataplane-mode"] ?? "-"}`;
    case "Service":
      return `${String(spec["clusterIP"] ?? "None")} ${portsOf(spec["ports"])}`;
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

function conditionsOf(object: KubeObject): string {
  const conditions = object.status?.["conditions"];
  if (!Array.isArray(conditions)) return "";
  return conditions
    .map((item: { type?: string; status?: string; reason?: string; message?: string }) => {
      const why = item.status === "True" ? "" : ` (${item.reason ?? ""}: ${item.message ?? ""})`;
      return `${item.type}=${item.status}${why}`;
    })
    .join(", ");
}
