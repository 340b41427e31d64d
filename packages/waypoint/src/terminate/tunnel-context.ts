import type { Duplex } from "node:stream";
import type { Forwarded, TraceContext } from "@ambit/shared/hbone";
import type { SocketAddress } from "@ambit/shared/net";
import type { PeerIdentity } from "@ambit/shared/tls";
import type { TunnelDestination } from "../model/route-model.ts";

/** What is known of one tunnel from its CONNECT; every stage reads it, nobody changes it. */
export interface TunnelContext {
  /** Proven by mutual TLS. */
  readonly peer: PeerIdentity;
  /** The peer's SPIFFE URI, as policies match it. */
  readonly peerPrincipal: string;
  /** The other end of the tunnel's TCP connection: the client's pod, whose node proxy dials from its address. */
  readonly client: SocketAddress;
  /** The address of ours that was dialled. */
  readonly local: SocketAddress;
  readonly destination: TunnelDestination;
  /** `:authority` as it came; at most 261 characters. */
  readonly authorityText: string;
  /** What the sender says of itself. Telemetry only: anyone may have written it. */
  readonly forwarded: Forwarded;
  readonly trace?: TraceContext;
}

/**
 * A CONNECT that waits for its answer; exactly one of the two is called, once. Nothing of its DATA was looked at: it
 * waits in the stream's flow-control window.
 */
export interface TunnelOffer {
  /** Answers 200. The stream may already be destroyed, when the peer gave up meanwhile. */
  accept(): Duplex;
  /** @param status  400..599 */
  refuse(status: number): void;
}

export type TunnelHandler = (tunnel: TunnelContext, offer: TunnelOffer) => void;
