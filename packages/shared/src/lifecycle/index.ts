export { compactMemory } from "./compact-memory.ts";
export { type CompactionInit, compactWhenIdle } from "./compact-when-idle.ts";
export { drainDeadlineMs, within } from "./drain.ts";
export { guardAgainstBugs } from "./guard-against-bugs.ts";
export { nodeWarning } from "./node-warning.ts";
export { Readiness, type ReadinessTask } from "./readiness.ts";
export { createShutdown, type Shutdown } from "./shutdown.ts";
