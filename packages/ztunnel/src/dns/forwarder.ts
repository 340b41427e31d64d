/** Stage "dns": passes a question on to the upstream resolvers, from the pod's own namespace, byte for byte. */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, type Socket, Socket as TcpSocket } from "node:net";
import { LiveList } from "@ambit/shared/collections";
import { answersQuery, withId } from "@ambit/shared/dns";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { isIpv4, PROXY_MARK, parseAuthority, type SocketAddress } from "@ambit/shared/net";
import type { Platform } from "@ambit/shared/platform";

export interface ForwarderInit {
  readonly platform: Platform;
  /** The pod's namespace; absent in explicit capture. */
  readonly netnsFd?: number;
  /** `ip:port`, asked in this order. */
  readonly upstreams: readonly string[];
  readonly attemptTimeoutMs: number;
  /** Questions under way at once; more are refused at once. */
  readonly maxInFlight: number;
}

/**
 * Sends questions on, each from a socket of its own (random port) under a random id, and takes only an answer that repeats
 * id and question. The bytes are otherwise untouched, so that what we do not understand (DNSSEC flags, new types) works.
 */
export class DnsForwarder {
  readonly #init: ForwarderInit;
  readonly #upstreams: readonly SocketAddress[];
  readonly #underWay = new LiveList<() => void>();
  #closed = false;

  constructor(init: ForwarderInit) {
    this.#init = init;
    this.#upstreams = init.upstreams.flatMap((text) => {
      const parsed = parseAuthority(text);
      return parsed.ok && parsed.value.kind === "address" ? [parsed.value.address] : [];
    });
  }

  /** @returns the upstream's answer under the client's id. Throws MeshError when no upstream answered. */
  async forward(query: Buffer, transport: "udp" | "tcp"): Promise<Buffer> {
    if (this.#underWay.size >= this.#init.maxInFlight) {
      throw new MeshError(
        ErrorCode.CONNECTION_LIMIT_REACHED,
        `${this.#underWay.size} DNS questions of this pod are under way already`,
      );
    }
    const sent = withId(query, randomInt(1, 0x10000));
    let failure: unknown = new MeshError(ErrorCode.CONFIG_INVALID, "no DNS upstream is configured");
    for (const upstream of this.#upstreams) {
      try {
        const answer = await (transport === "udp" ? this.#askUdp(sent, upstream) : this.#askTcp(sent, upstream));
        return withId(answer, query.readUInt16BE(0));
      } catch (error) {
        failure = error;
      }
    }
    throw MeshError.from(failure, ErrorCode.UPSTREAM_CONNECT_FAILED, { origin: "upstream" });
  }

  /** Ends everything under way and refuses the rest: the namespace's descriptor may be closed, and its number reused. */
  close(): void {
    this.#closed = true;
    for (const cancel of this.#underWay.values()) cancel();
  }

  #askUdp(sent: Buffer, upstream: SocketAddress): Promise<Buffer> {
    return this.#attempt((settle) => {
      const socket = createSocket(isIpv4(upstream.ip) ? "udp4" : "udp6");
      socket.on("error", (error) => settle(error));
      socket.on("message", (message, from) => {
        // Anything else is somebody guessing; the wait goes on.
        if (from.port === upstream.port && answersQuery(sent, message)) settle(message);
      });
      socket.bind({ fd: this.#udpDescriptor(upstream) }, () => socket.send(sent, upstream.port, upstream.ip));
      return () => socket.close();
    });
  }

  #udpDescriptor(upstream: SocketAddress): number {
    const { platform, netnsFd } = this.#init;
    const any = (isIpv4(upstream.ip) ? "0.0.0.0" : "::") as SocketAddress["ip"];
    const inPod = netnsFd === undefined ? {} : { netnsFd, mark: PROXY_MARK };
    return platform.bindUdp({ ...inPod, ip: any, port: 0, reusePort: false });
  }

  #askTcp(sent: Buffer, upstream: SocketAddress): Promise<Buffer> {
    return this.#attempt((settle) => {
      const socket = this.#dialTcp(upstream);
      let received = Buffer.alloc(0);
      socket.on("error", (error) => settle(error));
      socket.on("close", () =>
        settle(new MeshError(ErrorCode.UPSTREAM_RESET, "the DNS upstream closed before it answered")),
      );
      socket.on("connect", () => socket.write(withLength(sent)));
      socket.on("data", (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        const total = received.length >= 2 ? received.readUInt16BE(0) + 2 : Number.POSITIVE_INFINITY;
        if (received.length < total) return;
        const message = received.subarray(2, total);
        settle(
          answersQuery(sent, message)
            ? message
            : new MeshError(ErrorCode.UPSTREAM_RESET, "the DNS upstream answered another question"),
        );
      });
      return () => socket.destroy();
    });
  }

  #dialTcp(upstream: SocketAddress): Socket {
    const { platform, netnsFd } = this.#init;
    if (netnsFd === undefined) return connect({ host: upstream.ip, port: upstream.port });
    const fd = platform.dialTcp({ netnsFd, family: isIpv4(upstream.ip) ? 4 : 6, mark: PROXY_MARK });
    const socket = new TcpSocket({ fd, manualStart: true } as ConstructorParameters<typeof TcpSocket>[0]);
    return socket.connect({ host: upstream.ip, port: upstream.port });
  }

  /** Runs one exchange under the time limit and the in-flight count; whatever ends it first also cleans up. */
  #attempt(start: (settle: (result: Buffer | Error) => void) => () => void): Promise<Buffer> {
    if (this.#closed) return Promise.reject(forwarderClosed());
    return new Promise((resolve, reject) => {
      let dispose = (): void => {};
      let settled = false;
      const settle = (result: Buffer | Error): void => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        member.leave();
        dispose();
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      const cancel = (): void => settle(forwarderClosed());
      const timeout = (): void =>
        settle(new MeshError(ErrorCode.UPSTREAM_CONNECT_TIMEOUT, "the DNS upstream did not answer in time"));
      const timer = setTimeout(timeout, this.#init.attemptTimeoutMs);
      const member = this.#underWay.add(cancel);
      try {
        dispose = start(settle);
      } catch (error) {
        settle(error as Error);
      }
    });
  }
}

const forwarderClosed = (): MeshError => new MeshError(ErrorCode.CANCELLED, "the DNS proxy of this pod was closed");

/** A message as TCP carries it: two bytes of length first (RFC 1035 4.2.2). */
export function withLength(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(message.length + 2);
  framed.writeUInt16BE(message.length, 0);
  message.copy(framed, 2);
  return framed;
}
