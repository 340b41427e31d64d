export { AddressReader, type AddressReading } from "./address-reader.ts";
export type { AdsConnection } from "./ads-loop.ts";
export {
  createXdsClient,
  type XdsClient,
  type XdsClientInit,
  type XdsHandlers,
  type XdsState,
} from "./delta-client.ts";
export { DeltaState, type Reception } from "./delta-state.ts";
export { identityToProto, type XdsIdentity, type XdsNode } from "./node.ts";
export type { Rejection, ResourceReading } from "./read-resources.ts";
export {
  createResourceClient,
  type ResourceClient,
  type ResourceClientInit,
  type ResourceHandlers,
} from "./resource-client.ts";
export { type ReceivedResource, type ResourceUpdate, type SubscribedType, Subscriptions } from "./subscriptions.ts";
export type { TerminationReason } from "./termination.ts";
export { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL, EnvoyTypeUrl, type XdsTypeUrl } from "./type-urls.ts";
