export type { Endpoint } from "./endpoint-index.ts";
export { addressFromProto, type MeshAddress } from "./from-proto.ts";
export { type FoundAddress, type MeshChange, MeshStore } from "./mesh-store.ts";
export {
  type AddressDelta,
  type GatewayAddress,
  type LoadBalancing,
  type Locality,
  type NetworkAddress,
  type PortMapping,
  type RoutingScope,
  type Service,
  serviceKey,
  type Workload,
} from "./model.ts";
export { serviceToProto, workloadToProto } from "./to-proto.ts";
export type { OwnPlace } from "./workload-index.ts";
