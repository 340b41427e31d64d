export type { ResolvedHostnames } from "./choose-address.ts";
export { identityOf } from "./expected-identities.ts";
export { decideInbound, type InboundDecision, type InboundInput } from "./inbound-decision.ts";
export type { MeshView } from "./mesh-view.ts";
export {
  decideOutbound,
  type HboneHop,
  type Hop,
  type OutboundDecision,
  type OutboundInput,
  type PlaintextHop,
} from "./outbound-decision.ts";
export { decidePassthrough, type PassthroughDecision } from "./passthrough-decision.ts";
export {
  inboundService,
  noService,
  type ServiceFacts,
  serviceFacts,
  sourceFacts,
  unknownPeer,
  workloadFacts,
} from "./peer-facts.ts";
export { type Refusal, refuse } from "./refusal.ts";
