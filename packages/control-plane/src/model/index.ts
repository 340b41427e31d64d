export type { MeshResource } from "./compile-object.ts";
export type { Condition } from "./condition.ts";
export { MeshModel, type ModelDelta } from "./mesh-model.ts";
export type { MeshSettings } from "./mesh-settings.ts";
