export {
  createXdsClient,
  type XdsClient,
  type XdsClientInit,
  type XdsHandlers,
  type XdsState,
} from "./delta-client.ts";
export { DeltaState, type Reception } from "./delta-state.ts";
export type { XdsNode } from "./node.ts";
export type { Rejection, ResourceReading } from "./read-resources.ts";
export type { TerminationReason } from "./termination.ts";
export { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL, type XdsTypeUrl } from "./type-urls.ts";
