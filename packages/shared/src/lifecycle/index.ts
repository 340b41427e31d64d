export { compactMemory } from "./compact-memory.ts";
export { drainDeadlineMs, within } from "./drain.ts";
export { Readiness, type ReadinessTask } from "./readiness.ts";
export { createShutdown, type Shutdown } from "./shutdown.ts";
