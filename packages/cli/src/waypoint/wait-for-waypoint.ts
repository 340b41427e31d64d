import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { isWaypointGateway, type KubeObject } from "@ambit/shared/kube";
import type { LabClient } from "@ambit/shared/lab-client";
import { missingParts, type WaypointState, waypointState } from "./waypoint-state.ts";

const POLL_MS = 200;

export interface WaypointQuery {
  /** Undefined = all. */
  readonly namespace?: string;
  readonly name?: string;
}

/** All waypoints, in the order of namespace and name. */
export async function findWaypoints(lab: LabClient, query: WaypointQuery): Promise<readonly WaypointState[]> {
  const gateways = await waypointGateways(lab, query);
  if (gateways.length === 0) return [];
  const [pods, { pods: statuses }] = await Promise.all([lab.objects({ kind: "Pod" }), lab.status()]);
  return gateways.map((gateway) => waypointState(gateway, pods, statuses));
}

export async function waypointGateways(lab: LabClient, query: WaypointQuery): Promise<readonly KubeObject[]> {
  const classes = new Map((await lab.objects({ kind: "GatewayClass" })).map((one) => [one.metadata.name, one]));
  const gateways = await lab.objects({ kind: "Gateway", ...query });
  return gateways
    .filter((one) => isWaypointGateway(one, classes.get(String(one.spec?.["gatewayClassName"]))))
    .sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
}

const placeOf = ({ metadata }: KubeObject): string => `${metadata.namespace ?? "default"}/${metadata.name}`;

/** Waits until it is programmed and its pods are ready. Throws MeshError LAB_COMMAND_FAILED that says what is missing. */
export async function waitForWaypoint(
  lab: LabClient,
  place: { readonly namespace: string; readonly name: string },
  timeoutMs: number,
): Promise<WaypointState> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const [state] = await findWaypoints(lab, place);
    const missing = state ? missingParts(state) : ["there is no such Gateway any more"];
    if (state && missing.length === 0) return state;
    if (performance.now() > deadline) {
      const pod = state?.pods[0];
      const hint = pod ? `; look at: ambit logs ${pod.namespace}/${pod.name} --name ${lab.name}` : "";
      const message = `waypoint ${place.namespace}/${place.name} is not ready after ${timeoutMs / 1000} s: ${missing.join("; ")}${hint}`;
      throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, message);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
