export {
  type AuthorizationRefusal,
  type AuthorizationState,
  ConnectionAuthorizer,
  type InboundSubject,
  type PolicyAnswer,
  type Verdict,
} from "./connection-authorizer.ts";
export { ConnectionTracker, type TrackedConnection } from "./connection-tracker.ts";
export type { Permit } from "./permit.ts";
