export { findPod } from "./find-pod.ts";
export {
  type ApplyResult,
  type ExecPlan,
  LabClient,
  type LabStatus,
  type PodStatus,
  type ProgramStatus,
} from "./lab-client.ts";
export { labStateDir, programPath, projectRoot } from "./lab-paths.ts";
export { type ExecTarget, parseTarget, type RunResult, runIn, spawnIn } from "./run-in-lab.ts";
export { type LabStart, startLab, stopLab, waitUntilReady } from "./start-lab.ts";
