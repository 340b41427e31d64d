export {
  decodeGrpcMessage,
  encodeGrpcMessage,
  grpcStatusOfHttp,
  httpStatusOfGrpc,
  isGrpcContentType,
  isGrpcMessage,
  readGrpcStatus,
} from "./grpc-status.ts";
export {
  type Caller,
  directResponse,
  type LocalResponse,
  localResponse,
  preflightResponse,
  REASON_HEADER,
  type RefusalDetail,
  redirectResponse,
} from "./local-response.ts";
export { type RedirectedRequest, redirectLocation } from "./redirect-location.ts";
export { sendResponse } from "./send-response.ts";
