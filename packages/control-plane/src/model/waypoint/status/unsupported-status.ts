/** What is said of kinds that waypoints do not carry out: on the object, as nothing else would tell its author. */
import { type KubeObject, recordsAt, textAt } from "@ambit/shared/kube";
import type { ObjectStatus } from "../../condition.ts";

const FILTERS = "requests go on without it, so what it was to change, limit or refuse is not";

/** Kind -> what happens instead. */
const INSTEAD: Readonly<Record<string, string>> = {
  EnvoyFilter: FILTERS,
  WasmPlugin: FILTERS,
  TrafficExtension: FILTERS,
  BackendTLSPolicy: "requests go on as the mesh sends them; for TLS to an endpoint use a DestinationRule",
  XBackendTrafficPolicy: "requests go on without it; for retries use the route's own fields",
};

export const UNSUPPORTED_KINDS: ReadonlySet<string> = new Set(Object.keys(INSTEAD));

/** Those for a Gateway of another controller may well be in force there, but not here. */
export function unsupportedStatus(object: KubeObject): ObjectStatus {
  const targets = recordsAt(object.spec, "targetRefs").map((ref) => `${textAt(ref, "kind")} ${textAt(ref, "name")}`);
  const about = targets.length > 0 ? ` (spec.targetRefs: ${targets.slice(0, 3).join(", ")})` : "";
  const message = `waypoints do not carry out any ${object.kind}${about}: ${INSTEAD[object.kind]}`;
  return { conditions: [{ type: "WaypointAccepted", status: "False", reason: "UnsupportedKind", message }] };
}
