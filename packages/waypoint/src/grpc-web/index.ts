export { requestFormat, toGrpcFields } from "./format.ts";
export { translateGrpcWeb } from "./grpc-web-exchange.ts";
