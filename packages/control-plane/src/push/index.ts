export type { AdsClientStatus, ClientBinding, ClientProgress } from "./ads-client.ts";
export { AdsService, type AdsServiceInit } from "./ads-service.ts";
export { Debounce } from "./debounce.ts";
export { encode, encodeDelta } from "./encode-delta.ts";
export {
  CLUSTER_TYPE_URL,
  ENDPOINT_TYPE_URL,
  ENVOY_TYPE_URLS,
  LISTENER_TYPE_URL,
  ROUTE_TYPE_URL,
} from "./envoy-types.ts";
export { type EncodedResource, type ResourceChange, ResourceStore } from "./resource-store.ts";
export { ScopedStores } from "./scoped-stores.ts";
export type { Acknowledgement } from "./subscription.ts";
