/** A Pod as the kubelet, the scheduler and the service proxy need it. */
import type { KubeObject, Labels } from "@ambit/shared/kube";
import { type IpAddress, parseIp } from "@ambit/shared/net";
import { type Container, parseContainers } from "./container.ts";
import { type Fields, fieldsOf, listOf, numberOf, textOf } from "./fields.ts";

export interface Pod {
  readonly object: KubeObject;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly labels: Labels;
  /** Undefined until the scheduler has chosen. */
  readonly node: string | undefined;
  readonly serviceAccount: string;
  readonly hostname: string;
  readonly subdomain: string | undefined;
  readonly hostNetwork: boolean;
  readonly restartPolicy: "Always" | "OnFailure" | "Never";
  readonly terminationGraceMs: number;
  /** A volume projects a token of its service account. */
  readonly projectsToken: boolean;
  /** Containers get variables of the namespace's services. */
  readonly serviceLinks: boolean;
  readonly initContainers: readonly Container[];
  readonly containers: readonly Container[];
  /** Deletion was asked for: no endpoint any more, being stopped. */
  readonly terminating: boolean;
  readonly status: PodState;
}

export interface PodState {
  readonly phase: "Pending" | "Running" | "Succeeded" | "Failed";
  readonly ips: readonly IpAddress[];
  readonly ready: boolean;
}

const DEFAULT_GRACE_SECONDS = 30;
/** What the kernel takes, and where Kubernetes cuts. */
const MAX_HOSTNAME = 63;

export function parsePod(object: KubeObject): Pod {
  const spec = fieldsOf(object.spec);
  const { metadata } = object;
  const graceSeconds = numberOf(spec["terminationGracePeriodSeconds"]) ?? DEFAULT_GRACE_SECONDS;
  return {
    object,
    name: metadata.name,
    namespace: metadata.namespace ?? "default",
    uid: metadata.uid ?? "",
    labels: metadata.labels ?? {},
    node: textOf(spec["nodeName"]),
    serviceAccount: textOf(spec["serviceAccountName"]) ?? "default",
    hostname: (textOf(spec["hostname"]) ?? metadata.name).slice(0, MAX_HOSTNAME),
    subdomain: textOf(spec["subdomain"]),
    hostNetwork: spec["hostNetwork"] === true,
    restartPolicy: restartPolicyOf(spec["restartPolicy"]),
    terminationGraceMs: Math.max(0, graceSeconds) * 1000,
    projectsToken: listOf(spec["volumes"]).map(fieldsOf).some(projectsToken),
    serviceLinks: spec["enableServiceLinks"] !== false,
    initContainers: parseContainers(spec["initContainers"]),
    containers: parseContainers(spec["containers"]),
    terminating: metadata.deletionTimestamp !== undefined,
    status: parseState(fieldsOf(object.status)),
  };
}

const projectsToken = (volume: Fields): boolean =>
  listOf(fieldsOf(volume["projected"])["sources"]).some((one) => fieldsOf(one)["serviceAccountToken"] !== undefined);

function restartPolicyOf(value: unknown): Pod["restartPolicy"] {
  return value === "OnFailure" || value === "Never" ? value : "Always";
}

function parseState(status: Readonly<Record<string, unknown>>): PodState {
  const phase = status["phase"];
  const ready = listOf(status["conditions"])
    .map(fieldsOf)
    .find((one) => one["type"] === "Ready");
  return {
    phase: phase === "Running" || phase === "Succeeded" || phase === "Failed" ? phase : "Pending",
    ips: listOf(status["podIPs"]).flatMap((entry) => {
      const parsed = parseIp(textOf(fieldsOf(entry)["ip"]) ?? "");
      return parsed.ok ? [parsed.value] : [];
    }),
    ready: ready?.["status"] === "True",
  };
}

export const isOver = (pod: Pod): boolean => pod.status.phase === "Succeeded" || pod.status.phase === "Failed";

/** Runs, has an address, and is not on its way out: what a Service may name, ready or not. */
export const isAddressable = (pod: Pod): boolean => pod.status.ips.length > 0 && !pod.terminating && !isOver(pod);
