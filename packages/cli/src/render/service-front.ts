import type { ServiceFront } from "../waypoint/service-front.ts";
import { missingParts } from "../waypoint/waypoint-state.ts";

/** Lines without indentation: which waypoint, why that one, and whether traffic gets through. */
export function renderFront({ subject, waypoint }: ServiceFront): readonly string[] {
  if (!waypoint) return [`${subject}: no waypoint`];
  const why = waypoint.askedBy === "object" ? "its own label" : "the namespace's label";
  return [
    `${subject}: waypoint ${waypoint.gateway}, by ${why}`,
    `  ${boundLine(waypoint.bound)}`,
    `  ${stateLine(waypoint)}`,
  ];
}

type Waypoint = NonNullable<ServiceFront["waypoint"]>;

function boundLine(bound: Waypoint["bound"]): string {
  if (!bound) return "not looked at by the control plane yet";
  const since = bound.since === "" ? "" : ` since ${bound.since}`;
  return `${bound.status === "True" ? "in force" : "REFUSED"}${since}: ${bound.reason}: ${bound.message}`;
}

function stateLine({ gateway, state }: Waypoint): string {
  if (!state) return `there is no Gateway ${gateway}; make one with: ambit waypoint apply ${applyFlags(gateway)}`;
  const missing = missingParts(state);
  return missing.length === 0
    ? `ready, ${state.pods.length} pods: ${state.pods.map((pod) => pod.name).join(", ")}`
    : `not ready: ${missing.join("; ")}`;
}

const applyFlags = (gateway: string): string => {
  const [namespace = "", name = ""] = gateway.split("/");
  return `-n ${namespace}${name === "waypoint" ? "" : ` --name ${name}`}`;
};
