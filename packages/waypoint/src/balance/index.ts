export { type AttemptOutcome, resultOfAnswer, resultOfError } from "./attempt-outcome.ts";
export { type BreakerResource, type BreakerState, CircuitBreaker } from "./circuit-breaker.ts";
export {
  type ClusterBalancers,
  type ClusterBalancersInit,
  createClusterBalancers,
  type PickRequest,
  type PickResult,
  type PickToken,
} from "./cluster-balancer.ts";
export type { EndpointEvent } from "./cluster-state.ts";
export type { ClusterStatus, EndpointStatus } from "./cluster-status.ts";
export type {
  Algorithm,
  CircuitBreakers,
  Cluster,
  Endpoint,
  LocalityEndpoints,
  OutlierDetection,
  RetryBudgetConfig,
  SlowStart,
  UpstreamHttp,
  UpstreamTransport,
} from "./model.ts";
export type { AttemptResult, EjectionReason } from "./outlier-detection.ts";
export { hashText, type RequestHash } from "./request-hash.ts";
