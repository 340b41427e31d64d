import { type ConditionState, programmedOf, readyPods, type WaypointState } from "../waypoint/waypoint-state.ts";
import { renderTable } from "./table.ts";

export const NO_WAYPOINTS = "no waypoints found\n";

/** One row a waypoint, with the columns of `istioctl waypoint list` and how many pods are ready. */
export function renderWaypointList(states: readonly WaypointState[], allNamespaces: boolean): string {
  if (states.length === 0) return NO_WAYPOINTS;
  const rows = states.map((state) => [
    ...(allNamespaces ? [state.namespace] : []),
    state.name,
    state.revision,
    state.trafficType,
    programmedOf(state)?.status ?? "Unknown",
    `${readyPods(state)}/${state.wantedPods}`,
  ]);
  const header = ["NAME", "REVISION", "TRAFFIC TYPE", "PROGRAMMED", "READY"];
  return renderTable(allNamespaces ? ["NAMESPACE", ...header] : header, rows);
}

/** Conditions with the time since which they hold, and the pods. */
export function renderWaypointStatus(states: readonly WaypointState[]): string {
  if (states.length === 0) return NO_WAYPOINTS;
  const conditions = states.flatMap((state) => {
    const known = state.conditions.length > 0 ? state.conditions : [UNKNOWN];
    return known.map((one) => [
      state.namespace,
      state.name,
      one.type,
      one.status,
      one.since || "-",
      one.reason,
      one.message,
    ]);
  });
  const pods = states.flatMap((state) =>
    state.pods.map((pod) => [
      state.namespace,
      state.name,
      pod.name,
      pod.ready ? "ready" : "not ready",
      String(pod.restarts),
      pod.node,
      pod.ip,
    ]),
  );
  return [
    renderTable(["NAMESPACE", "NAME", "CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"], conditions),
    "\n",
    pods.length === 0
      ? "no pods\n"
      : renderTable(["NAMESPACE", "NAME", "POD", "READY", "RESTARTS", "NODE", "IP"], pods),
  ].join("");
}

const UNKNOWN: ConditionState = {
  type: "-",
  status: "Unknown",
  reason: "Pending",
  message: "the control plane has not looked at it yet",
  since: "",
};
