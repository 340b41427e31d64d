export type { AdsClientStatus } from "./ads-client.ts";
export { AdsService, type AdsServiceInit } from "./ads-service.ts";
export { encodeDelta } from "./encode-delta.ts";
export { type EncodedResource, type ResourceChange, ResourceStore } from "./resource-store.ts";
export type { Acknowledgement } from "./subscription.ts";
