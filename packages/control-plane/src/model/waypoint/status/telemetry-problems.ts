/** What of a Telemetry object has no effect at waypoints. Nothing of it guards anything, so the rest stays in force. */
import type { KubeObject } from "@ambit/shared/kube";
import { accessLogProblems, type FindTarget } from "../access-logs.ts";
import type { MeshConfigFact } from "../mesh-config.ts";
import { metricProblems } from "../metric-overrides.ts";
import { tracingProblems } from "../tracing.ts";

export const telemetryProblems = (
  telemetry: KubeObject,
  config: MeshConfigFact,
  findTarget: FindTarget,
): readonly string[] => [
  ...accessLogProblems(telemetry, config, findTarget),
  ...tracingProblems(telemetry, config, findTarget),
  ...metricProblems(telemetry, config),
];
