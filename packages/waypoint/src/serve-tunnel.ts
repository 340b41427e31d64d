/**
 * From a tunnel to what it carries: finds the chain of its destination, decides between HTTP and TCP, and serves it.
 * A destination we do not serve, and a connection that policy refuses, are refused before the tunnel is accepted, so that
 * the client's proxy can tell its user why.
 */
import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { formatSocketAddress } from "@ambit/shared/net";
import type { Clock } from "@ambit/shared/time";
import {
  type DownstreamConnection,
  type DownstreamExchange,
  defaultServeOptions,
  type ServeOptions,
  serveHttp,
} from "./http/index.ts";
import type { Chains, HttpChain, RouteModel, TcpChain } from "./model/route-model.ts";
import { peekProtocol, type TunnelContext, type TunnelOffer } from "./terminate/index.ts";

/** A tunnel, or what was in it, that ended before anybody was asked. */
export interface TunnelRefusal {
  readonly tunnel: TunnelContext;
  readonly error: MeshError;
}

export interface TunnelServerInit {
  readonly clock: Clock;
  /** How long an undeclared port's client may keep silent before it is taken for a protocol where the server speaks first. */
  readonly sniffTimeoutMs: number;
  /** For ports declared HTTP: so long until silence is taken for HTTP/1. */
  readonly prefaceTimeoutMs: number;
  model(): RouteModel;
  onRequest(tunnel: TunnelContext, chain: HttpChain, exchange: DownstreamExchange): void;
  /** Undefined: it was refused, and told. Never rejects. */
  admitTcp(tunnel: TunnelContext, chain: TcpChain): Promise<TcpAdmission | undefined>;
  onRefused(refusal: TunnelRefusal): void;
}

export interface TcpAdmission {
  serve(downstream: Duplex): void;
}

export class TunnelServer {
  readonly #init: TunnelServerInit;
  readonly #connections = new Set<DownstreamConnection>();
  #draining = false;

  constructor(init: TunnelServerInit) {
    this.#init = init;
  }

  /** Stage "terminate" hands a CONNECT over; it is answered here. */
  onTunnel(tunnel: TunnelContext, offer: TunnelOffer): void {
    const chains = this.#init.model().findChains(tunnel.destination);
    if (!chains || (!chains.http && !chains.tcp)) {
      const error = unknownDestination(tunnel);
      this.#init.onRefused({ tunnel, error });
      offer.refuse(503);
      return;
    }
    if (chains.http) {
      void this.#serve(tunnel, chains, offer.accept());
      return;
    }
    if (chains.tcp) void this.#offerTcp(tunnel, chains.tcp, offer);
  }

  /** Declared TCP: nothing is sniffed, and the policy's answer is the CONNECT's. */
  async #offerTcp(tunnel: TunnelContext, chain: TcpChain, offer: TunnelOffer): Promise<void> {
    const admission = await this.#init.admitTcp(tunnel, chain);
    if (admission) admission.serve(offer.accept());
    else offer.refuse(401);
  }

  /** HTTP connections end with what runs on them; TCP connections go on. */
  drain(): void {
    this.#draining = true;
    for (const connection of this.#connections) connection.drain();
  }

  async #serve(tunnel: TunnelContext, chains: Chains, stream: Duplex): Promise<void> {
    const { clock, sniffTimeoutMs, prefaceTimeoutMs, onRefused } = this.#init;
    try {
      const timeoutMs = chains.tcp ? sniffTimeoutMs : prefaceTimeoutMs;
      const { kind } = await peekProtocol(stream, { clock, timeoutMs });
      const isHttp = kind === "http1" || kind === "http2";
      if (chains.tcp && !isHttp) await this.#serveTcp(tunnel, chains.tcp, stream);
      else if (chains.http) this.#serveHttp(tunnel, chains.http, kind === "http2" ? "http2" : "http1", stream);
    } catch (error) {
      stream.destroy();
      onRefused({ tunnel, error: MeshError.from(error, ErrorCode.DOWNSTREAM_RESET, { origin: "downstream" }) });
    }
  }

  async #serveTcp(tunnel: TunnelContext, chain: TcpChain, stream: Duplex): Promise<void> {
    const admission = await this.#init.admitTcp(tunnel, chain);
    if (admission) admission.serve(stream);
    else stream.destroy(new MeshError(ErrorCode.POLICY_DENIED, "the connection is not allowed"));
  }

  #serveHttp(tunnel: TunnelContext, chain: HttpChain, protocol: "http1" | "http2", stream: Duplex): void {
    const options: ServeOptions = {
      ...defaultServeOptions,
      clock: this.#init.clock,
      acceptsHttp10: chain.acceptsHttp10,
      onRefused: (error) => this.#init.onRefused({ tunnel, error }),
      onClose: () => this.#connections.delete(connection),
    };
    const connection: DownstreamConnection = serveHttp(stream, protocol, options, (exchange) =>
      this.#onRequest(tunnel, exchange),
    );
    this.#connections.add(connection);
    if (this.#draining) connection.drain();
  }

  /** Each request has the chain of the moment: a connection may live longer than many configurations. */
  #onRequest(tunnel: TunnelContext, exchange: DownstreamExchange): void {
    const chain = this.#init.model().findChains(tunnel.destination)?.http;
    if (chain) {
      this.#init.onRequest(tunnel, chain, exchange);
      return;
    }
    const error = unknownDestination(tunnel);
    this.#init.onRefused({ tunnel, error });
    exchange.abort(error);
  }
}

function unknownDestination(tunnel: TunnelContext): MeshError {
  const client = formatSocketAddress(tunnel.client);
  const message = `this waypoint does not serve ${tunnel.authorityText}, which ${client} wants`;
  return new MeshError(ErrorCode.TUNNEL_DESTINATION_UNKNOWN, message, { origin: "downstream" });
}
