/**
 * Stage 1: serves HBONE on the waypoint's 15008. Mutual TLS with our own certificate, HTTP/2, and each CONNECT that may
 * be one as an offer to whoever handles tunnels.
 *
 * Parity: the `connect_terminate` listener that istiod describes. Differs: it is not configured by xDS.
 */
import { createServer, type Server } from "node:net";
import type { Duplex } from "node:stream";
import { ErrorCode, invariant, MeshError, type Result } from "@ambit/shared/errors";
import { buildConnectResponse, type ConnectRequest, parseConnectRequest } from "@ambit/shared/hbone";
import { H2Code, type H2Options, type HeaderList } from "@ambit/shared/http2";
import { type IpAddress, ipOf, type SocketAddress } from "@ambit/shared/net";
import type { Clock } from "@ambit/shared/time";
import type { IdentityMaterial, RevocationCheck } from "@ambit/shared/tls";
import { HboneAcceptor, type InboundTunnel, type TunnelStream } from "@ambit/shared/tunnel";
import { TunnelDuplex } from "../forward/tunnel-duplex.ts";
import type { TunnelDestination } from "../model/route-model.ts";
import type { TunnelContext, TunnelHandler } from "./tunnel-context.ts";
import { tunnelDestination } from "./tunnel-destination.ts";

export interface ConnectTerminatorInit {
  readonly clock: Clock;
  readonly http2: H2Options;
  readonly handshakeTimeoutMs: number;
  /** Sessions one remote address may hold, handshakes included. */
  readonly maxSessionsPerPeer: number;
  /** See `HboneAcceptorInit`. */
  readonly sessionIdleMs: number;
  /** TCP connections of everybody together; more are closed at once. */
  readonly maxSessions: number;
  /** Tunnels of everybody together; one more is answered with 503. */
  readonly maxTunnels: number;
  /** In a lab without namespaces all pods are on loopback. Default false: no destination may be there. */
  readonly allowsLoopback?: boolean;
  readonly revocation: RevocationCheck;
  /** Our certificate; rejects with IDENTITY_UNAVAILABLE. */
  material(): Promise<IdentityMaterial>;
  /** Answers the offer, at once or later. A throw refuses it with 503. */
  onTunnel: TunnelHandler;
  /** What ended before it was a tunnel: a connection, a session, or a CONNECT that was refused here. */
  onRefused(refusal: TerminationRefusal): void;
}

export interface TerminationRefusal {
  readonly error: MeshError;
  readonly remote: SocketAddress | undefined;
  /** Who had proved its identity by then. */
  readonly peerPrincipal?: string;
  readonly authorityText?: string;
}

/** First TCP keepalive probe. Parity: ztunnel KEEPALIVE_TIME. */
const KEEPALIVE_MS = 180_000;
const MAX_AUTHORITY_CHARS = 261;

export class ConnectTerminator {
  readonly #init: ConnectTerminatorInit;
  readonly #acceptor: HboneAcceptor;
  readonly #server: Server;
  #tunnels = 0;
  #draining = false;

  constructor(init: ConnectTerminatorInit) {
    this.#init = init;
    this.#acceptor = new HboneAcceptor({
      clock: init.clock,
      options: init.http2,
      handshakeTimeoutMs: init.handshakeTimeoutMs,
      maxSessionsPerPeer: init.maxSessionsPerPeer,
      sessionIdleMs: init.sessionIdleMs,
      revocation: init.revocation,
      material: () => init.material(),
      onStream: (tunnel, stream, headers) => this.#onStream(tunnel, stream, headers),
      onRefused: (error, remote, _local, peer) =>
        init.onRefused({ error, remote, ...(peer === undefined ? {} : { peerPrincipal: peer.uri }) }),
    });
    const options = { allowHalfOpen: true, pauseOnConnect: true, noDelay: true };
    this.#server = createServer({ ...options, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS }, (socket) => {
      socket.on("error", ignore);
      this.#acceptor.accept(socket);
    });
    this.#server.maxConnections = init.maxSessions;
    this.#server.on("drop", (dropped) => this.#onDropped(dropped?.remoteAddress));
  }

  /** Resolves to the bound address; rejects with what `listen` failed with. */
  listen(ip: IpAddress, port: number): Promise<SocketAddress> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ host: ip, port, backlog: 4096 }, () => {
        // Accepting can fail for a while (no descriptors); the listener outlives it.
        this.#server.off("error", reject).on("error", ignore);
        const bound = this.#server.address();
        resolve({ ip, port: typeof bound === "object" && bound !== null ? bound.port : port });
      });
    });
  }

  /** Tunnels under way, offers included. */
  get tunnels(): number {
    return this.#tunnels;
  }

  /** New connections show the new certificate. */
  update(material: IdentityMaterial): void {
    this.#acceptor.update(material);
  }

  revocationsChanged(revocation: RevocationCheck): void {
    this.#acceptor.revocationsChanged(revocation);
  }

  /** Stops listening, GOAWAY to everybody; tunnels run to their end, new ones on old sessions are refused with 503. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#server.close();
    this.#acceptor.drain();
  }

  /** Cuts what is left. */
  destroy(error: MeshError): void {
    this.drain();
    this.#acceptor.destroy(error);
  }

  #onStream(inbound: InboundTunnel, stream: TunnelStream, headers: HeaderList): void {
    const request = parseConnectRequest(headers);
    const destination = request.ok ? this.#destinationOf(request.value, inbound) : request;
    const error = destination.ok ? this.#overload() : destination.error;
    if (!request.ok || !destination.ok || error !== undefined) {
      const authorityText = request.ok ? { authorityText: shortened(request.value) } : {};
      const failure = error ?? new MeshError(ErrorCode.INVARIANT_VIOLATED, "a refusal has its reason");
      refuseStream(stream, statusOf(failure));
      this.#init.onRefused({
        error: failure,
        remote: inbound.remote,
        peerPrincipal: inbound.peer.uri,
        ...authorityText,
      });
      return;
    }
    this.#offer(contextOf(inbound, request.value, destination.value), stream);
  }

  #destinationOf({ authority }: ConnectRequest, { local }: InboundTunnel): Result<TunnelDestination, MeshError> {
    return tunnelDestination(authority, { ownIp: local.ip, allowsLoopback: this.#init.allowsLoopback === true });
  }

  #offer(context: TunnelContext, stream: TunnelStream): void {
    this.#tunnels += 1;
    let answered = false;
    const over = (): void => {
      this.#tunnels -= 1;
    };
    const refuse = (status: number): void => {
      if (answered) return;
      answered = true;
      over();
      refuseStream(stream, status);
    };
    const accept = (): Duplex => {
      invariant(!answered, "a tunnel is answered once");
      answered = true;
      stream.stream.sendHeaders(buildConnectResponse(200), false);
      return new TunnelDuplex(stream).once("close", over);
    };
    try {
      this.#init.onTunnel(context, { accept, refuse });
    } catch (error) {
      refuse(503);
      throw error;
    }
  }

  #overload(): MeshError | undefined {
    if (this.#draining) return new MeshError(ErrorCode.CONNECTION_DRAINED, "the waypoint is shutting down");
    if (this.#tunnels < this.#init.maxTunnels) return undefined;
    return new MeshError(ErrorCode.CONNECTION_LIMIT_REACHED, `the waypoint carries ${this.#tunnels} tunnels already`);
  }

  #onDropped(remoteAddress: string | undefined): void {
    const error = new MeshError(ErrorCode.CONNECTION_LIMIT_REACHED, "the waypoint holds too many connections");
    const remote = remoteAddress === undefined ? undefined : { ip: ipOf(remoteAddress), port: 0 };
    this.#init.onRefused({ error, remote });
  }
}

function contextOf(tunnel: InboundTunnel, request: ConnectRequest, destination: TunnelDestination): TunnelContext {
  return {
    peer: tunnel.peer,
    peerPrincipal: tunnel.peer.uri,
    client: tunnel.remote,
    local: tunnel.local,
    destination,
    authorityText: shortened(request),
    forwarded: request.forwarded,
    ...(request.trace === undefined ? {} : { trace: request.trace }),
  };
}

/** The status, and nothing of what the peer may still send. Spec: RFC 9113 section 8.1 (reset after a complete answer). */
function refuseStream(stream: TunnelStream, status: number): void {
  stream.stream.sendHeaders(buildConnectResponse(status), true);
  stream.stream.reset(H2Code.NO_ERROR);
}

/** Only 503 invites the peer to try again. */
function statusOf({ code }: MeshError): 400 | 503 {
  return code === ErrorCode.CONNECTION_LIMIT_REACHED || code === ErrorCode.CONNECTION_DRAINED ? 503 : 400;
}

const shortened = ({ authorityText }: ConnectRequest): string => authorityText.slice(0, MAX_AUTHORITY_CHARS);

function ignore(): void {}
