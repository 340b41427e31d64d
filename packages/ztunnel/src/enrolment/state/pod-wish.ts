/** What the objects say about one pod: should it be in the mesh, and how. Pure. */
import {
  annotationsOf,
  type EnrolmentReason,
  enrolmentOf,
  isTerminal,
  type KubeObject,
  labelsOf,
  namespaceOf,
  type ObjectKey,
  objectKey,
  parseGoBoolean,
  podIps,
  podPhase,
  serviceAccountOf,
} from "@ambit/shared/kube";
import type { IpAddress } from "@ambit/shared/net";

const DNS_ANNOTATION = "ambient.istio.io/dns-capture";
const INGRESS_ANNOTATION = "ambient.istio.io/bypass-inbound-capture";
const GUESTS_ANNOTATION = "istio.io/reroute-virtual-interfaces";
const MAX_GUEST_INTERFACES = 64;
/** Whether it may become a file name and an nftables comment. */
export const isPodUid = (uid: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(uid);

/** A pod as it should be served. Two that are deeply equal need nothing done. */
export interface WantedPod {
  readonly uid: string;
  readonly key: ObjectKey;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly ips: readonly IpAddress[];
  readonly dns: boolean;
  readonly ingressMode: boolean;
  readonly virtualInterfaces: readonly string[];
}

/**
 * "wanted": enrol it. "waiting": in the mesh, but it has no address yet (or has it no more): leave everything as it is.
 * "out": it must not be enrolled, and lives on. "gone": it has ended; its namespace may be anybody's by now.
 */
export type PodWish =
  | { readonly kind: "wanted"; readonly pod: WantedPod }
  | { readonly kind: "waiting" | "out" | "gone"; readonly reason: string };

export interface WishFacts {
  readonly dnsByDefault: boolean;
  /** Kubernetes namespaces that are never enrolled. */
  readonly excludedNamespaces: ReadonlySet<string>;
  /** Where ztunnel itself runs. */
  readonly systemNamespace: string;
}

const WHY_OUT: Readonly<Record<EnrolmentReason, string>> = {
  "namespace-excluded": "its namespace is excluded from the mesh",
  "host-network": "it uses the node's network",
  sidecar: "it has a sidecar",
  "pod-opted-out": "its label istio.io/dataplane-mode is none",
  "not-labelled": "neither it nor its namespace has the label istio.io/dataplane-mode=ambient",
  "pod-label": "",
  "namespace-label": "",
};

export function wishOf(pod: KubeObject, namespace: KubeObject | undefined, facts: WishFacts): PodWish {
  if (isTerminal(pod)) return { kind: "gone", reason: `its phase is ${podPhase(pod)}` };
  if (!isPodUid(pod.metadata.uid ?? "")) return { kind: "out", reason: "its uid is missing, or not one of Kubernetes" };
  if (namespaceOf(pod) === facts.systemNamespace && labelsOf(pod)["app"] === "ztunnel") {
    return { kind: "out", reason: "it is the proxy itself" };
  }
  const { enrolled, reason } = enrolmentOf(pod, namespace, facts.excludedNamespaces);
  if (!enrolled) return { kind: "out", reason: WHY_OUT[reason] };
  const ips = podIps(pod);
  if (ips === undefined || ips.length === 0) {
    return { kind: "waiting", reason: ips ? "it has no address yet" : "one of its addresses is malformed" };
  }
  return { kind: "wanted", pod: wantedPod(pod, ips, facts.dnsByDefault) };
}

function wantedPod(pod: KubeObject, ips: readonly IpAddress[], dnsByDefault: boolean): WantedPod {
  const annotations = annotationsOf(pod);
  return {
    uid: pod.metadata.uid ?? "",
    key: objectKey(pod),
    name: pod.metadata.name,
    namespace: namespaceOf(pod),
    serviceAccount: serviceAccountOf(pod),
    ips,
    dns: parseGoBoolean(annotations[DNS_ANNOTATION]) ?? dnsByDefault,
    ingressMode: parseGoBoolean(annotations[INGRESS_ANNOTATION]) ?? false,
    virtualInterfaces: interfaceNames(annotations[GUESTS_ANNOTATION] ?? ""),
  };
}

/** The text goes into an nftables script, so only what the kernel takes as an interface name and nft cannot misread passes. */
export function interfaceNames(list: string): string[] {
  const names = list.split(",").map((name) => name.trim());
  return [...new Set(names.filter((name) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/.test(name)))]
    .sort()
    .slice(0, MAX_GUEST_INTERFACES);
}
