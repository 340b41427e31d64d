export { isAuthority } from "./authority.ts";
export { createUpstreamConnection } from "./connect-http.ts";
export { isSendable } from "./format-head.ts";
export type {
  BodyLength,
  BodyReceiver,
  DownstreamConnection,
  DownstreamExchange,
  ExchangeEvents,
  ExchangeIo,
  HttpVersion,
  OutgoingRequest,
  RequestHead,
  ResponseHead,
  UpstreamConnection,
  UpstreamEvents,
  UpstreamExchange,
} from "./message.ts";
export {
  type ConnectOptions,
  defaultConnectOptions,
  defaultHttp2Options,
  defaultServeOptions,
  type HttpOptions,
  type ServeOptions,
} from "./options.ts";
export { serveHttp } from "./serve-http.ts";
