import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { LiveList, type LiveMember } from "../collections/index.ts";
import { ErrorCode, MeshError } from "../errors/index.ts";
import { parseSpiffeId } from "../identity/index.ts";
import { type Clock, systemClock } from "../time/index.ts";
import type { HboneTlsAcceptor, HboneTlsAcceptorInit, IdentityMaterial, PeerIdentity } from "./api.ts";
import { HBONE_ALPN, hboneTlsOptions } from "./identity-context.ts";
import { peerVerifierFor, presentedChain } from "./peer-verifier.ts";
import { handshakeFailed, handshakeTimedOut, reasonOf, refuseRevoked } from "./tls-failure.ts";

const DEFAULT_MAX_PENDING = 512;

/** One handshake under way. */
interface Pending {
  readonly socket: Socket;
  readonly remoteAddress: string;
  readonly cancelTimeout: () => void;
  place: LiveMember<Pending> | undefined;
}

/** Where a socket keeps its handshake, so that no table has to. */
const pendingKey = Symbol("ambit.handshake");
type PendingSocket = Socket & { [pendingKey]?: Pending | undefined };

/**
 * The HBONE server's TLS for one workload: client certificate required, chained to our own roots, of our own trust
 * domain, not revoked. A socket that fails is destroyed before a byte of its application data was looked at.
 *
 * Node offers server-side TLS with verification only through `tls.Server`; this one never listens, it is fed by hand.
 *
 * @throws MeshError IDENTITY_UNAVAILABLE when the first material is unusable
 *
 * Parity: ztunnel src/tls/workload.rs (trust domain check), src/proxy/inbound.rs (TLS accept)
 * Differs: handshakes have a deadline and a bound; an expired certificate of our own is never presented
 */
export function createHboneTlsAcceptor(init: HboneTlsAcceptorInit): HboneTlsAcceptor {
  return new Acceptor(init);
}

class Acceptor implements HboneTlsAcceptor {
  readonly #init: HboneTlsAcceptorInit;
  readonly #clock: Clock;
  readonly #maxPending: number;
  readonly #server: Server;
  readonly #pending = new LiveList<Pending>();
  #material: IdentityMaterial;
  #closed = false;

  constructor(init: HboneTlsAcceptorInit) {
    this.#init = init;
    this.#clock = init.clock ?? systemClock;
    this.#maxPending = init.maxPendingHandshakes ?? DEFAULT_MAX_PENDING;
    this.#material = init.material;
    const fixed = { ALPNProtocols: HBONE_ALPN, requestCert: true, rejectUnauthorized: true };
    try {
      this.#server = createServer({ ...hboneTlsOptions(init.material), ...fixed });
    } catch (error) {
      throw unusable(init.material, error);
    }
    this.#server.on("secureConnection", (socket) => this.#onSecure(socket));
    this.#server.on("tlsClientError", (error, socket) => this.#onTlsError(error, socket));
    this.#server.on("error", ignore);
  }

  accept(socket: Socket): void {
    socket.on("error", ignore);
    const remoteAddress = socket.remoteAddress ?? "";
    if (this.#closed || this.#material.notAfter <= this.#clock.now()) {
      const why = this.#closed
        ? "the listener is closing"
        : `the certificate of ${this.#material.identity} has expired`;
      socket.destroy();
      this.#report(new MeshError(ErrorCode.IDENTITY_UNAVAILABLE, why, { origin: "local" }), remoteAddress);
      return;
    }
    this.#makeRoom();
    const pending: Pending = {
      socket,
      remoteAddress,
      cancelTimeout: this.#clock.after(this.#init.handshakeTimeoutMs, () =>
        this.#fail(socket, handshakeTimedOut("downstream", this.#init.handshakeTimeoutMs)),
      ),
      place: undefined,
    };
    pending.place = this.#pending.add(pending);
    (socket as PendingSocket)[pendingKey] = pending;
    // One turn later: when Node itself cut the peer, the reason comes in `tlsClientError`, after this.
    socket.once("close", () =>
      setImmediate(() => this.#fail(socket, handshakeFailed("downstream", "the peer closed the connection"))),
    );
    try {
      socket.setNoDelay(true);
      // A peer that ends during the handshake is gone; half-open is for what comes after it.
      socket.allowHalfOpen = false;
      this.#server.emit("connection", socket);
    } catch (error) {
      this.#fail(socket, handshakeFailed("downstream", reasonOf(error), error));
    }
  }

  update(material: IdentityMaterial): void {
    try {
      this.#server.setSecureContext(hboneTlsOptions(material));
      this.#material = material;
    } catch (error) {
      throw unusable(material, error);
    }
  }

  close(): void {
    this.#closed = true;
    for (const { socket } of this.#pending.values()) {
      this.#fail(socket, new MeshError(ErrorCode.CANCELLED, "the listener is closing"));
    }
  }

  #onSecure(socket: TLSSocket): void {
    socket.on("error", ignore);
    const raw = rawSocketOf(socket);
    const pending = raw && this.#settle(raw);
    if (raw === undefined || pending === undefined) {
      // Timed out or cut in the same turn of the event loop.
      socket.destroy();
      return;
    }
    const verdict = this.#judge(socket);
    if (verdict instanceof MeshError) {
      socket.destroy();
      this.#report(verdict, pending.remoteAddress);
      return;
    }
    try {
      socket.allowHalfOpen = true;
      this.#init.onSecure(socket, verdict);
    } catch (error) {
      socket.destroy();
      this.#report(MeshError.from(error, ErrorCode.INVARIANT_VIOLATED), pending.remoteAddress);
    }
  }

  #judge(socket: TLSSocket): PeerIdentity | MeshError {
    try {
      if (!socket.authorized || socket.isSessionReused()) return handshakeFailed("downstream", "not authorized");
      const verifier = peerVerifierFor(this.#material.rootsPem);
      const peer = verifier.verify(presentedChain(socket.getPeerCertificate(true)), this.#clock.now());
      if (!peer.ok) return peerRefused(ErrorCode.TLS_PEER_IDENTITY_MISMATCH, peer.error);
      const own = parseSpiffeId(this.#material.identity);
      if (!own.ok || own.value.trustDomain !== peer.value.id.trustDomain) {
        const expected = own.ok ? own.value.trustDomain : this.#material.identity;
        const message = `expected a client of trust domain ${expected}, got ${peer.value.uri}`;
        return peerRefused(ErrorCode.TLS_PEER_TRUST_DOMAIN_MISMATCH, message);
      }
      return refuseRevoked(peer.value, this.#init.revocation, "downstream") ?? peer.value;
    } catch (error) {
      return handshakeFailed("downstream", reasonOf(error), error);
    }
  }

  /** Node says ECONNRESET when it is itself who cut an unverified peer; the real reason is `authorizationError`. */
  #onTlsError(error: Error, socket: TLSSocket): void {
    socket.on("error", ignore);
    const raw = rawSocketOf(socket);
    const refused: unknown = socket.authorizationError;
    const reason = refused ? reasonOf(refused) : reasonOf(error);
    if (raw !== undefined) this.#fail(raw, handshakeFailed("downstream", reason, error));
    socket.destroy();
  }

  /** Ends a handshake that has not ended yet; otherwise does nothing. */
  #fail(socket: Socket, error: MeshError): void {
    const pending = this.#settle(socket);
    if (pending === undefined) return;
    socket.destroy();
    this.#report(error, pending.remoteAddress);
  }

  #settle(socket: Socket): Pending | undefined {
    const pending = (socket as PendingSocket)[pendingKey];
    (socket as PendingSocket)[pendingKey] = undefined;
    pending?.cancelTimeout();
    pending?.place?.leave();
    return pending;
  }

  /** A real handshake lasts milliseconds; with the table full the oldest is the likeliest not to be one. */
  #makeRoom(): void {
    const { oldest } = this.#pending;
    if (this.#pending.size < this.#maxPending || oldest === undefined) return;
    this.#fail(oldest.socket, handshakeFailed("downstream", `more than ${this.#maxPending} handshakes under way`));
  }

  #report(error: MeshError, remoteAddress: string): void {
    try {
      this.#init.onFailure(error, remoteAddress);
    } catch {
      // A listener that throws must not reach Node's TLS callbacks: it would take down the process.
    }
  }
}

/** Node keeps the wrapped socket here, undocumented since 0.12; without it the connection is refused, not trusted. */
function rawSocketOf(socket: TLSSocket): Socket | undefined {
  return (socket as TLSSocket & { readonly _parent?: Socket })._parent;
}

function peerRefused(code: ErrorCode, message: string): MeshError {
  return new MeshError(code, message, { origin: "downstream" });
}

function unusable(material: IdentityMaterial, cause: unknown): MeshError {
  const message = `the key material of ${material.identity} is unusable: ${reasonOf(cause)}`;
  return new MeshError(ErrorCode.IDENTITY_UNAVAILABLE, message, { cause });
}

function ignore(): void {}
