export { type BackoffInit, backoffDelayMs } from "./backoff.ts";
export { type Clock, type Random, systemClock, systemRandom } from "./clock.ts";
