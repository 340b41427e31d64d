import { ErrorCode } from "@ambit/shared/errors";
import { formatSocketAddress, LOOP_PORTS, type SocketAddress } from "@ambit/shared/net";
import { type Refusal, refuse } from "./refusal.ts";

export type PassthroughDecision = { readonly kind: "deliver"; readonly target: SocketAddress } | Refusal;

/**
 * Stage 2, inbound plaintext: the original destination, unless it is a listener of the proxy, which would loop. Pure.
 *
 * Parity: ztunnel src/proxy/inbound_passthrough.rs.
 */
export function decidePassthrough(destination: SocketAddress): PassthroughDecision {
  if (!LOOP_PORTS.has(destination.port)) return { kind: "deliver", target: destination };
  return refuse(ErrorCode.LOOP_REFUSED, `${formatSocketAddress(destination)} is a listener of the proxy itself`);
}
