/** What of a Telemetry object has no effect at waypoints. Nothing of it guards anything, so the rest stays in force. */
import type { KubeObject } from "@ambit/shared/kube";
import type { MeshConfigFact } from "../mesh-config.ts";
import { metricProblems } from "../metric-overrides.ts";

export function telemetryProblems(telemetry: KubeObject, config: MeshConfigFact): readonly string[] {
  return metricProblems(telemetry, config);
}
