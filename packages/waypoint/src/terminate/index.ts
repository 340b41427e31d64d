export {
  ConnectTerminator,
  type ConnectTerminatorInit,
  type TerminationRefusal,
} from "./connect-terminator.ts";
export { type Detection, detectProtocol, detectUnfinished, MAX_PEEK_BYTES } from "./detect-protocol.ts";
export { type Peekable, type PeekInit, peekProtocol } from "./peek-protocol.ts";
export type { TunnelContext, TunnelHandler, TunnelOffer } from "./tunnel-context.ts";
export { type Place, tunnelDestination } from "./tunnel-destination.ts";
