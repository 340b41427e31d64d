export { MAX_MESSAGE_BYTES, MESSAGE_LIMITS } from "./limits.ts";
export { type GrpcServiceDefinition, grpcServiceDefinition } from "./service-definition.ts";
