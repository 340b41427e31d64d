/** Serves HBONE for one identity: TLS first, then HTTP/2, then each stream to its handler. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { LiveList, type LiveMember } from "../collections/index.ts";
import { ErrorCode, MeshError } from "../errors/index.ts";
import { createH2Session, type H2Options, type H2Session, type HeaderList, isBreach } from "../http2/index.ts";
import { type IpAddress, ipOf, type SocketAddress } from "../net/index.ts";
import type { Clock } from "../time/index.ts";
import {
  createHboneTlsAcceptor,
  type HboneTlsAcceptor,
  type IdentityMaterial,
  isPeerRevoked,
  type PeerIdentity,
  type RevocationCheck,
} from "../tls/index.ts";
import { IdleSessions, type WatchedSession } from "./idle-sessions.ts";
import { TunnelStream } from "./tunnel-stream.ts";

/** What a stream's handler knows of the tunnel it came through. */
export interface InboundTunnel {
  readonly peer: PeerIdentity;
  readonly remote: SocketAddress;
  /** The address that was dialled. */
  readonly local: SocketAddress;
}

export interface HboneAcceptorInit {
  readonly clock: Clock;
  readonly options: H2Options;
  readonly handshakeTimeoutMs: number;
  /** Sessions one remote address may hold, handshakes included. */
  readonly maxSessionsPerPeer: number;
  /** A session that carries no tunnel for so long is told to go. Longer than peers keep theirs. */
  readonly sessionIdleMs: number;
  readonly revocation: RevocationCheck;
  /** The certificate to show; rejects with IDENTITY_UNAVAILABLE. */
  material(): Promise<IdentityMaterial>;
  onStream(tunnel: InboundTunnel, stream: TunnelStream, headers: HeaderList): void;
  /**
   * A connection that never became a session, a stream that was reset before it came here, or a session whose peer broke
   * a rule; `peer` is who has proved its identity by then.
   */
  onRefused(
    error: MeshError,
    remote: SocketAddress | undefined,
    local: SocketAddress | undefined,
    peer?: PeerIdentity,
  ): void;
}

interface ServedSession extends WatchedSession {
  readonly session: H2Session;
  readonly peer: PeerIdentity;
}

export class HboneAcceptor {
  private readonly init: HboneAcceptorInit;
  private tls: HboneTlsAcceptor | undefined;
  private readonly sessions = new LiveList<ServedSession>();
  private readonly idle: IdleSessions;
  private readonly perPeer = new Map<IpAddress, number>();
  private draining = false;

  constructor(init: HboneAcceptorInit) {
    this.init = init;
    this.idle = new IdleSessions(init.clock, init.sessionIdleMs, this.sessions);
  }

  /** Takes over an accepted socket. */
  accept(socket: Socket): void {
    const remote = socketAddress(socket.remoteAddress, socket.remotePort);
    const local = socketAddress(socket.localAddress, socket.localPort);
    if (remote === undefined || local === undefined || this.draining) {
      socket.destroy();
      return;
    }
    const held = this.perPeer.get(remote.ip) ?? 0;
    if (held >= this.init.maxSessionsPerPeer) {
      socket.destroy();
      const message = `${remote.ip} holds ${held} HBONE sessions already`;
      this.init.onRefused(new MeshError(ErrorCode.CONNECTION_LIMIT_REACHED, message), remote, local);
      return;
    }
    this.perPeer.set(remote.ip, held + 1);
    socket.once("close", () => this.release(remote.ip));
    this.handshake(socket).catch((error: unknown) => {
      socket.destroy();
      this.init.onRefused(MeshError.from(error, ErrorCode.IDENTITY_UNAVAILABLE), remote, local);
    });
  }

  /** New connections show the new certificate. */
  update(material: IdentityMaterial): void {
    this.tls?.update(material);
  }

  revocationsChanged(revocation: RevocationCheck): void {
    const error = new MeshError(ErrorCode.TLS_PEER_CERTIFICATE_REVOKED, "the peer's certificate was revoked");
    for (const { session, peer } of this.sessions.values()) if (isPeerRevoked(peer, revocation)) session.destroy(error);
  }

  /** GOAWAY to everybody; sessions end with their streams. */
  drain(): void {
    this.draining = true;
    this.tls?.close();
    this.idle.stop();
    for (const { session } of this.sessions.values()) session.shutdown();
  }

  destroy(error: MeshError): void {
    this.drain();
    for (const { session } of this.sessions.values()) session.destroy(error);
  }

  private async handshake(socket: Socket): Promise<void> {
    const material = await this.init.material();
    // Looked at after the wait: two first connections at once must share one acceptor and its bounds.
    this.tls ??= this.createTls(material);
    if (this.draining) socket.destroy();
    else this.tls.accept(socket);
  }

  private createTls(material: IdentityMaterial): HboneTlsAcceptor {
    const { clock, handshakeTimeoutMs, revocation } = this.init;
    return createHboneTlsAcceptor({
      material,
      handshakeTimeoutMs,
      revocation,
      clock,
      onSecure: (socket, peer) => this.serve(socket, peer),
      onFailure: (error, remoteAddress) => {
        const failure = MeshError.from(error, ErrorCode.TLS_HANDSHAKE_FAILED, { origin: "downstream" });
        this.init.onRefused(failure, socketAddress(remoteAddress, 0), undefined);
      },
    });
  }

  private serve(socket: TLSSocket, peer: PeerIdentity): void {
    const remote = socketAddress(socket.remoteAddress, socket.remotePort);
    const local = socketAddress(socket.localAddress, socket.localPort);
    if (remote === undefined || local === undefined) {
      socket.destroy();
      return;
    }
    const tunnel: InboundTunnel = { peer, remote, local };
    const onRefused = (error: MeshError): void => this.init.onRefused(error, remote, local, peer);
    let member: LiveMember<ServedSession> | undefined;
    const served: ServedSession = {
      peer,
      streamsSeen: 0,
      quietSince: this.init.clock.monotonic(),
      session: createH2Session("server", socket, this.init.options, {
        onRequest: (h2Stream, headers) => {
          const stream = new TunnelStream();
          stream.stream = h2Stream;
          this.init.onStream(tunnel, stream, headers);
          return stream;
        },
        onRefused,
        onClose: (error) => {
          member?.leave();
          if (error !== undefined && isBreach(error)) onRefused(error);
        },
      }),
    };
    member = this.sessions.add(served);
    if (this.draining) served.session.shutdown();
    else this.idle.watch();
  }

  private release(ip: IpAddress): void {
    const left = (this.perPeer.get(ip) ?? 1) - 1;
    if (left > 0) this.perPeer.set(ip, left);
    else this.perPeer.delete(ip);
  }
}

function socketAddress(ip: string | undefined, port: number | undefined): SocketAddress | undefined {
  return ip === undefined || ip === "" || port === undefined ? undefined : { ip: ipOf(ip), port };
}
