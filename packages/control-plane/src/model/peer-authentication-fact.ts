import { type KubeObject, type Labels, namespaceOf } from "@ambit/shared/kube";
import type { PeerAuthenticationFact, PeerMode } from "./facts.ts";

/** A PeerAuthentication as the compilers use it. */
export interface ReadPeerAuthentication {
  readonly fact: PeerAuthenticationFact;
  /** Absent: for the whole namespace, or the mesh when in the root namespace. */
  readonly selector?: Labels;
  /** What could not be read; the policy then counts as STRICT everywhere it may be meant. */
  readonly invalid: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

const isRecord = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Total; what is not understood reads as STRICT, never as less. DISABLE is PERMISSIVE: ambient has no "no mTLS". */
export function readPeerAuthentication(object: KubeObject): ReadPeerAuthentication {
  const { selector, mtls, portLevelMtls, ...strange } = object.spec ?? {};
  const invalid = Object.keys(strange).map((name) => `spec.${name.slice(0, 80)}`);
  const mode = modeOf(mtls);
  if (mode === undefined) invalid.push("spec.mtls");
  const ports = portsOf(portLevelMtls, invalid);
  const labels = labelsOfSelector(selector);
  if (labels === "invalid") invalid.push("spec.selector");
  const common = {
    namespace: namespaceOf(object),
    name: object.metadata.name,
    createdAt: object.metadata.creationTimestamp ?? "9999",
  };
  if (invalid.length > 0) return { fact: { ...common, mode: "STRICT", ports: {} }, invalid };
  const chosen = labels !== "invalid" && Object.keys(labels).length > 0 ? { selector: labels } : {};
  return { fact: { ...common, mode: mode ?? "STRICT", ports }, invalid, ...chosen };
}

function portsOf(portLevelMtls: unknown, invalid: string[]): Readonly<Record<string, PeerMode>> {
  if (portLevelMtls === undefined || portLevelMtls === null) return {};
  if (!isRecord(portLevelMtls)) {
    invalid.push("spec.portLevelMtls");
    return {};
  }
  const ports: Record<string, PeerMode> = {};
  for (const [port, each] of Object.entries(portLevelMtls)) {
    const mode = modeOf(each);
    if (mode !== undefined && /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65535) ports[port] = mode;
    else invalid.push(`spec.portLevelMtls[${port.slice(0, 20)}]`);
  }
  return ports;
}

/** Undefined when it is no mode. */
function modeOf(mtls: unknown): PeerMode | undefined {
  if (mtls === undefined || mtls === null) return "UNSET";
  const mode = isRecord(mtls) ? (mtls["mode"] ?? "UNSET") : undefined;
  if (mode === "DISABLE") return "PERMISSIVE";
  return mode === "UNSET" || mode === "PERMISSIVE" || mode === "STRICT" ? mode : undefined;
}

function labelsOfSelector(selector: unknown): Labels | "invalid" {
  if (selector === undefined || selector === null) return {};
  if (!isRecord(selector) || Object.keys(selector).some((name) => name !== "matchLabels")) return "invalid";
  const labels = selector["matchLabels"] ?? {};
  if (!isRecord(labels) || !Object.values(labels).every((value) => typeof value === "string")) return "invalid";
  return labels as Labels;
}

/** Oldest first, then by name. */
export const byCreation = (a: PeerAuthenticationFact, b: PeerAuthenticationFact): number => {
  const [left, right] = [a, b].map(({ createdAt, namespace, name }) => `${createdAt} ${namespace}/${name}`);
  return (left as string) < (right as string) ? -1 : left === right ? 0 : 1;
};
