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
