export { type Baggage, emptyBaggage, formatBaggage, parseBaggage } from "./baggage.ts";
export {
  buildConnectRequest,
  buildConnectResponse,
  type ConnectRequest,
  type ConnectRequestInit,
  type ConnectResponse,
  HboneHeader,
  parseConnectRequest,
  parseConnectResponse,
} from "./connect-headers.ts";
export { type Forwarded, formatForwarded, parseForwarded } from "./forwarded.ts";
export { formatTraceparent, newTraceContext, parseTraceparent, type TraceContext } from "./traceparent.ts";
