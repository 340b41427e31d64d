export { type CrlWatch, type CrlWatchInit, watchCrl } from "./crl-watch.ts";
export { Revocations } from "./revocations.ts";
