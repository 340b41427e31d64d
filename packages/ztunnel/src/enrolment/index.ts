export { createEnrolment, type Enrolment, type EnrolmentInit, openHostNetns } from "./create-enrolment.ts";
export type { EnrolmentCounts, PodStatus } from "./enrolment-controller.ts";
export { directoryLocator, type NetnsLocator } from "./locate/netns-locator.ts";
export { processLocator } from "./locate/process-locator.ts";
export { preflight } from "./preflight/preflight.ts";
export type { DataPlane, DataPlanePod } from "./served-pod.ts";
