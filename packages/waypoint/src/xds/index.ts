export { retryConditions } from "./compile-retry.ts";
export type { SecurityCompilers } from "./context.ts";
export { type ApplyResult, createModelCompiler, type ModelCompiler, type XdsResource } from "./model-compiler.ts";
export {
  CLUSTER_TYPE_URL,
  ENDPOINT_TYPE_URL,
  LISTENER_TYPE_URL,
  ROUTE_TYPE_URL,
  type WaypointTypeUrl,
} from "./type-urls.ts";
