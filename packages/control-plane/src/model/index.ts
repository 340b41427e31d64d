export type { MeshResource } from "./compile-object.ts";
export type { Condition } from "./condition.ts";
export { isSilent, NO_STATUS, type ObjectStatus, type StatusPart } from "./condition.ts";
export { MeshModel, type ModelDelta } from "./mesh-model.ts";
export type { MeshSettings } from "./mesh-settings.ts";
export { endpointScope } from "./waypoint/endpoints-unit.ts";
export { emptyWaypoint } from "./waypoint/listeners-unit.ts";
export { labelledGateway } from "./waypoint/object-facts.ts";
export { UNSUPPORTED_KINDS } from "./waypoint/status/unsupported-status.ts";
