/**
 * Stage "forward": HTTP connections to endpoints, kept for the next request.
 *
 * A connection belongs to one client: the tunnel under it names the client to the destination's proxy, so that its
 * policy and logs can speak of the client, and requests of two clients must not share one. Parity: Envoy, which
 * partitions by the peer's hashable filter state.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import type { BreakerResource, CircuitBreaker } from "../balance/index.ts";
import type { Cluster } from "../balance/model.ts";
import type { ConnectOptions } from "../http/index.ts";
import type { UpstreamConnection } from "../http/message.ts";
import type { RequestPermit } from "../policy/model.ts";
import { findRoom, isIdleTooLong, joinable, type Line, type Member, remove, wakeOne } from "./upstream-line.ts";
import { keyOf, type UpstreamRoute } from "./upstream-route.ts";

/** What a connection must tell: `onClose` once, `onRoom` whenever there may be room again. */
export type ConnectionHooks = Required<Pick<ConnectOptions, "onRoom" | "onClose">>;

export interface UpstreamPoolInit<R extends UpstreamRoute> {
  readonly clock: Clock;
  /** Opens the byte stream and the HTTP connection on it; rejects with a MeshError, retry "safe". */
  connect(permit: RequestPermit, route: R, hooks: ConnectionHooks): Promise<UpstreamConnection>;
  /** Of the cluster: its "connections" and "pending" are taken here. */
  breaker(cluster: Cluster): CircuitBreaker;
  /** For clusters that say nothing of it. */
  readonly idleTimeoutMs: number;
  readonly maxConnections: number;
}

export interface AcquireOptions {
  /** One that carried nothing yet: after a failure that may only mean that a kept one was stale. */
  readonly fresh?: boolean;
  /** Whether anybody still waits; asked when others want the place. */
  isWanted?(): boolean;
}

const SWEEP_MS = 1_000;
/** Connections that end before they carry anything, until a request gives up. */
const MAX_DIALS = 3;

export class UpstreamPool<R extends UpstreamRoute = UpstreamRoute> {
  readonly #init: UpstreamPoolInit<R>;
  readonly #lines = new Map<string, Line>();
  #connections = 0;
  #cancelSweep: (() => void) | undefined;
  #closed = false;

  constructor(init: UpstreamPoolInit<R>) {
    this.#init = init;
  }

  get size(): number {
    return this.#connections;
  }

  /**
   * Calls `use` with a connection that has room for a request, which it makes at once: nobody takes the room in between.
   * Resolves to its answer. Rejects with the failure of the dial, CONNECTION_LIMIT_REACHED, CIRCUIT_OPEN, CANCELLED when
   * nobody waits any more, or what `use` throws.
   *
   * Where the cluster's limit of connections is reached, requests wait for one that is there, as many as its limit of
   * pending requests allows. Parity: Envoy; also in that each line may have one connection, whatever the limit.
   */
  async acquire<T>(
    permit: RequestPermit,
    route: R,
    use: (connection: UpstreamConnection) => T,
    options: AcquireOptions = {},
  ): Promise<T> {
    const isWanted = (): boolean => options.isWanted?.() ?? true;
    for (let tries = 0; ; tries++) {
      if (this.#closed) throw new MeshError(ErrorCode.CONNECTION_DRAINED, "the proxy is shutting down");
      if (!isWanted()) throw new MeshError(ErrorCode.CANCELLED, "nobody waits for the connection any more");
      const line = this.#lineOf(keyOf(route));
      const kept = options.fresh && tries === 0 ? undefined : findRoom(line);
      const member = kept ?? (await this.#findOther(permit, route, line, isWanted));
      if (member?.connection.hasRoom) return this.#use(member, line, use);
      // One that was dialled and has no room already.
      if (member && tries >= MAX_DIALS - 1) throw endsAtOnce(route);
    }
  }

  /** A connection that was dialled, or undefined when there may be room now. */
  async #findOther(permit: RequestPermit, route: R, line: Line, isWanted: () => boolean): Promise<Member | undefined> {
    const breaker = this.#init.breaker(route.cluster);
    this.#beginPending(breaker, line, route);
    try {
      if (this.#mayDial(breaker, line, route)) return await this.#dialFor(permit, route, line);
      await new Promise<void>((wake) => void line.waiters.push({ isWanted, wake }));
      return undefined;
    } finally {
      breaker.release("pending");
    }
  }

  /** Nothing new; what is idle closes, what is busy ends with its requests. */
  drain(): void {
    this.#closed = true;
    this.#cancelSweep?.();
    const lines = [...this.#lines.values()];
    this.#lines.clear();
    for (const { members, waiters } of lines) {
      for (const { connection } of [...members]) connection.drain();
      for (const { wake } of waiters) wake();
    }
  }

  /** Cuts everything that still runs. */
  destroy(error: MeshError): void {
    const members = [...this.#lines.values()].flatMap((line) => line.members);
    this.drain();
    for (const { connection } of members) connection.destroy(error);
  }

  #use<T>(member: Member, line: Line, use: (connection: UpstreamConnection) => T): T {
    const { connection, maxRequests } = member;
    member.idleSince = undefined;
    member.served += 1;
    const answer = use(connection);
    if (maxRequests > 0 && member.served >= maxRequests) connection.drain();
    else if (connection.hasRoom) wakeOne(line);
    return answer;
  }

  #beginPending(breaker: CircuitBreaker, line: Line, { cluster }: R): void {
    if (breaker.tryAcquire("pending")) return;
    // Those who left give their places up when they are asked.
    const left = line.waiters.filter(({ isWanted }) => !isWanted());
    line.waiters = line.waiters.filter((waiter) => !left.includes(waiter));
    for (const { wake } of left) wake();
    throw overLimit(cluster, "pending", cluster.circuitBreakers.maximumPendingRequests);
  }

  /** Whether to dial, rather than to wait; a dial that others share was counted by whoever began it. */
  #mayDial(breaker: CircuitBreaker, line: Line, route: R): boolean {
    if (joinable(line, route)) return true;
    if (line.members.length > 0 || line.dials > 0) return breaker.tryAcquire("connections");
    breaker.occupy("connections");
    return true;
  }

  /** One HTTP/2 dial for many; its waiters take the streams of what comes of it. */
  #dialFor(permit: RequestPermit, route: R, line: Line): Promise<Member> {
    const under = joinable(line, route);
    if (under) {
      under.waiting += 1;
      return under.promise;
    }
    const promise = this.#dial(permit, route, line);
    if (route.protocol !== "HTTP/2") return promise;
    const dialing = { promise, waiting: 1 };
    line.dialing = dialing;
    const done = (): void => {
      if (line.dialing === dialing) line.dialing = undefined;
    };
    promise.then(done, done);
    return promise;
  }

  /** The cluster's "connections" were taken. */
  async #dial(permit: RequestPermit, route: R, line: Line): Promise<Member> {
    const breaker = this.#init.breaker(route.cluster);
    let isOver = false;
    let member: Member | undefined;
    const forget = (): void => {
      if (isOver) return;
      isOver = true;
      if (member) remove(line.members, member);
      this.#connections -= 1;
      breaker.release("connections");
      wakeOne(line);
    };
    this.#connections += 1;
    line.dials += 1;
    try {
      this.#checkTotal();
      const hooks = { onClose: forget, onRoom: () => wakeOne(line) };
      const connection = await this.#init.connect(permit, route, hooks);
      member = this.#memberOf(connection, route);
      if (!isOver) line.members.push(member);
      if (this.#closed) connection.drain();
      this.#sweepLater();
      return member;
    } catch (error) {
      forget();
      throw error;
    } finally {
      line.dials -= 1;
    }
  }

  #memberOf(connection: UpstreamConnection, { cluster: { http } }: R): Member {
    return {
      connection,
      idleTimeoutMs: http.idleTimeoutMs > 0 ? http.idleTimeoutMs : this.#init.idleTimeoutMs,
      maxRequests: http.maximumRequestsPerConnection,
      served: 0,
      idleSince: undefined,
    };
  }

  /** This dial is counted already. */
  #checkTotal(): void {
    if (this.#connections > this.#init.maxConnections) this.#sweep();
    if (this.#connections <= this.#init.maxConnections) return;
    const message = `the waypoint holds ${this.#connections - 1} upstream connections already`;
    throw new MeshError(ErrorCode.CONNECTION_LIMIT_REACHED, message, { retry: "never" });
  }

  #lineOf(key: string): Line {
    const known = this.#lines.get(key);
    if (known) return known;
    const line: Line = { members: [], dials: 0, dialing: undefined, waiters: [] };
    this.#lines.set(key, line);
    return line;
  }

  #sweepLater(): void {
    if (this.#cancelSweep || this.#closed) return;
    this.#cancelSweep = this.#init.clock.after(SWEEP_MS, () => {
      this.#cancelSweep = undefined;
      this.#sweep();
      if (this.#lines.size > 0) this.#sweepLater();
    });
  }

  /** Closes what has been idle for too long, and forgets lines that nobody stands in. */
  #sweep(): void {
    const now = this.#init.clock.monotonic();
    for (const [key, line] of this.#lines) {
      for (const member of [...line.members]) {
        if (member.connection.active > 0) continue;
        if (!member.connection.hasRoom || isIdleTooLong(member, now)) {
          remove(line.members, member);
          member.connection.drain();
        }
      }
      if (line.members.length === 0 && line.dials === 0 && line.waiters.length === 0) this.#lines.delete(key);
    }
  }
}

function overLimit({ name }: Cluster, limit: BreakerResource, maximum: number | undefined): MeshError {
  const message = `cluster ${name} already has its maximum of ${maximum} ${limit} requests`;
  return new MeshError(ErrorCode.CIRCUIT_OPEN, message, { context: { limit } });
}

const endsAtOnce = ({ endpoint }: UpstreamRoute): MeshError =>
  new MeshError(ErrorCode.UPSTREAM_CONNECT_FAILED, `connections to ${endpoint.key} end as soon as they begin`, {
    origin: "upstream",
    retry: "safe",
  });
