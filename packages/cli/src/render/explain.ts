import type { PodStatus } from "@ambit/shared/lab-client";
import type { ServiceFront } from "../waypoint/service-front.ts";
import { renderFront } from "./service-front.ts";
import { renderTable } from "./table.ts";

export interface PodExplanation {
  readonly pod: PodStatus;
  readonly identity: string;
  readonly protocol: string;
  readonly certificate: string;
  readonly policies: readonly string[];
  /** Waypoints in front of the pod itself, and of the services that lead to it. */
  readonly fronts: readonly ServiceFront[];
  readonly refusals: readonly Refusal[];
}

export interface Refusal {
  readonly at: string;
  readonly pod: string;
  readonly direction: string;
  readonly source: string;
  readonly destination: string;
  readonly reason: string;
  readonly policy?: string;
  readonly message: string;
}

export function explainPod(explanation: PodExplanation): string {
  const { pod } = explanation;
  const enrolment = pod.enrolled
    ? `enrolled: traffic is captured in the pod and carried as ${explanation.protocol}`
    : "not enrolled: traffic goes plain; label its namespace istio.io/dataplane-mode=ambient";
  const lines = [
    `${pod.namespace}/${pod.name} on ${pod.node} (${pod.ip})`,
    `  ${enrolment}`,
    `  identity     ${explanation.identity || "unknown to the node's ztunnel yet"}`,
    `  certificate  ${explanation.certificate}`,
    `  policies     ${explanation.policies.join(", ") || "none: every source may connect"}`,
    ...explanation.fronts.flatMap(renderFront).map((line) => `  ${line}`),
    "",
  ];
  if (explanation.refusals.length === 0) return `${lines.join("\n")}no connection of this pod was refused lately\n`;
  return `${lines.join("\n")}${refusalTable(explanation.refusals)}`;
}

export function refusalTable(refusals: readonly Refusal[]): string {
  const rows = refusals.map((refusal) => [
    refusal.at,
    refusal.direction,
    refusal.source,
    refusal.destination,
    refusal.reason,
    refusal.policy ?? "-",
    refusal.message,
  ]);
  return renderTable(["AT", "DIRECTION", "FROM", "TO", "REASON", "POLICY", "MESSAGE"], rows);
}
