/**
 * From a tunnel to what it carries: finds the chain of its destination, decides between HTTP and TCP, and serves it.
 * A destination we do not serve, and a connection that policy refuses, are refused before the tunnel is accepted, so that
 * the client's proxy can tell its user why.
 */
import type { Duplex } from "node:stream";
import { LiveList, type LiveMember } from "@ambit/shared/collections";
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
import type { OfferedConnection } from "./judge-connection.ts";
import type { Chains, HttpChain, RouteModel } from "./model/route-model.ts";
import type { TcpAuthorization } from "./policy/index.ts";
import type { TcpAdmission, TcpRefusal } from "./serve-connection.ts";
import { peekProtocol, type TunnelContext, type TunnelOffer } from "./terminate/index.ts";

/** A tunnel, or what was in it, that ended before anybody was asked. */
export interface TunnelRefusal {
  readonly tunnel: TunnelContext;
  readonly error: MeshError;
}

/** What was no request to the codec; `error.context.status` is what it answered, absent or 0 = nothing: it was cut. */
export interface UnreadableRequest extends TunnelRefusal {
  readonly chain: HttpChain;
  readonly version: "HTTP/1.1" | "HTTP/2";
}

/** A request, and by what it is served. */
export interface TunnelledRequest {
  readonly tunnel: TunnelContext;
  readonly chain: HttpChain;
  readonly exchange: DownstreamExchange;
  /** Why it cannot be served, whatever it is. */
  readonly refusal: MeshError | undefined;
}

export interface TunnelServerInit {
  readonly clock: Clock;
  /** How long an undeclared port's client may keep silent before it is taken for a protocol where the server speaks first. */
  readonly sniffTimeoutMs: number;
  /** For ports declared HTTP: so long until silence is taken for HTTP/1. */
  readonly prefaceTimeoutMs: number;
  model(): RouteModel;
  onRequest(request: TunnelledRequest): void;
  onUnreadable(request: UnreadableRequest): void;
  /** A refusal was told. Never rejects. */
  admitTcp(offered: OfferedConnection): Promise<TcpAdmission | TcpRefusal>;
  /** A request that was taken and then broke the rules; its own end says so as well. */
  onBroken(refusal: TunnelRefusal): void;
  onRefused(refusal: TunnelRefusal): void;
}

/** A connection that began while we drain has so long for its request, before it is told to go. */
const DRAIN_GRACE_MS = 1_000;

export class TunnelServer {
  readonly #init: TunnelServerInit;
  readonly #connections = new LiveList<DownstreamConnection>();
  #draining = false;

  constructor(init: TunnelServerInit) {
    this.#init = init;
  }

  /** Stage "terminate" hands a CONNECT over; it is answered here. */
  onTunnel(tunnel: TunnelContext, offer: TunnelOffer): void {
    const chains = this.#init.model().findChains(tunnel.destination, tunnel.peerPrincipal);
    if (!chains || (!chains.http && !chains.tcp)) {
      const error = unknownDestination(tunnel);
      this.#init.onRefused({ tunnel, error });
      offer.refuse(503);
      return;
    }
    if (chains.tcp && !chains.http && !looksAtServerName(chains.tcp.authorization)) {
      void this.#offerTcp({ tunnel, chain: chains.tcp, sni: undefined }, offer);
      return;
    }
    void this.#serve(tunnel, chains, offer.accept());
  }

  /** HTTP connections end with what runs on them; TCP connections go on. */
  drain(): void {
    this.#draining = true;
    for (const connection of this.#connections.values()) connection.drain();
  }

  /** Declared TCP: nothing is sniffed, and the policy's answer is the CONNECT's. */
  async #offerTcp(offered: OfferedConnection, offer: TunnelOffer): Promise<void> {
    const answer = await this.#init.admitTcp(offered);
    if (answer.kind === "admitted") answer.serve(offer.accept());
    else offer.refuse(answer.status);
  }

  async #serve(tunnel: TunnelContext, chains: Chains, stream: Duplex): Promise<void> {
    const { clock, sniffTimeoutMs, prefaceTimeoutMs, onRefused } = this.#init;
    try {
      const timeoutMs = chains.tcp ? sniffTimeoutMs : prefaceTimeoutMs;
      const detected = await peekProtocol(stream, { clock, timeoutMs });
      const { kind } = detected;
      const isHttp = kind === "http1" || kind === "http2";
      if (chains.tcp && !(isHttp && chains.http)) {
        const sni = kind === "tls" ? detected.sni : undefined;
        await this.#serveTcp({ tunnel, chain: chains.tcp, sni }, stream);
      } else if (chains.http) this.#serveHttp(tunnel, chains.http, kind === "http2" ? "http2" : "http1", stream);
    } catch (error) {
      stream.destroy();
      onRefused({ tunnel, error: MeshError.from(error, ErrorCode.DOWNSTREAM_RESET, { origin: "downstream" }) });
    }
  }

  async #serveTcp(offered: OfferedConnection, stream: Duplex): Promise<void> {
    const answer = await this.#init.admitTcp(offered);
    if (answer.kind === "admitted") answer.serve(stream);
    else stream.destroy(new MeshError(ErrorCode.POLICY_DENIED, "the connection is not allowed"));
  }

  #serveHttp(tunnel: TunnelContext, first: HttpChain, protocol: "http1" | "http2", stream: Duplex): void {
    const { clock, onBroken, onUnreadable } = this.#init;
    const version = protocol === "http2" ? "HTTP/2" : "HTTP/1.1";
    // The one of the last request: where the port is no longer served, its log is told.
    let chain = first;
    let member: LiveMember<DownstreamConnection> | undefined;
    let isOver = false;
    const options: ServeOptions = {
      ...defaultServeOptions,
      clock,
      acceptsHttp10: chain.acceptsHttp10,
      onRefused: (error, wasHandedOver) => {
        if (wasHandedOver) onBroken({ tunnel, error });
        else onUnreadable({ tunnel, chain, version, error });
      },
      onClose: () => {
        isOver = true;
        member?.leave();
      },
    };
    const connection: DownstreamConnection = serveHttp(stream, protocol, options, (exchange) => {
      chain = this.#onRequest(tunnel, chain, exchange);
    });
    if (!isOver) member = this.#connections.add(connection);
    // Its first bytes are here, and are a request's: it is served, as the last.
    if (this.#draining) clock.after(DRAIN_GRACE_MS, () => connection.drain());
  }

  /** Each request has the chain of the moment: a connection may live longer than many configurations. */
  #onRequest(tunnel: TunnelContext, last: HttpChain, exchange: DownstreamExchange): HttpChain {
    const chain = this.#init.model().findChains(tunnel.destination, tunnel.peerPrincipal)?.http;
    const refusal = chain ? undefined : unknownDestination(tunnel);
    this.#init.onRequest({ tunnel, chain: chain ?? last, exchange, refusal });
    return chain ?? last;
  }
}

function looksAtServerName({ rules, custom }: TcpAuthorization): boolean {
  const policies = [
    ...rules.flatMap(({ enforced = [], dryRun }) => [...enforced, ...dryRun]),
    ...custom.flatMap((one) => one.when),
  ];
  return policies.some(({ readsServerName }) => readsServerName === true);
}

function unknownDestination(tunnel: TunnelContext): MeshError {
  const client = formatSocketAddress(tunnel.client);
  const message = `this waypoint does not serve ${tunnel.authorityText}, which ${client} wants`;
  return new MeshError(ErrorCode.TUNNEL_DESTINATION_UNKNOWN, message, { origin: "downstream" });
}
