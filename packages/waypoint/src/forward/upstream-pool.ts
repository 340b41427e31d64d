/**
 * Stage "forward": HTTP connections to endpoints, kept for the next request.
 *
 * A connection belongs to one client: the tunnel under it names the client to the destination's proxy, so that its
 * policy and logs can speak of the client, and requests of two clients must not share one. Parity: Envoy, which
 * partitions by the peer's hashable filter state.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import type { Cluster, Endpoint } from "../balance/model.ts";
import type { UpstreamConnection } from "../http/message.ts";
import type { RequestPermit } from "../policy/model.ts";

/** Where a request goes, and for whom. Requests share a connection exactly when all of it is equal. */
export interface UpstreamRoute {
  readonly cluster: Cluster;
  readonly endpoint: Endpoint;
  readonly protocol: UpstreamConnection["version"];
  /** The client that is named to the destination; no blank in it. */
  readonly client: string;
}

export interface UpstreamPoolInit<R extends UpstreamRoute> {
  readonly clock: Clock;
  /** Opens the byte stream and the HTTP connection on it; rejects with a MeshError, retry "safe". */
  connect(permit: RequestPermit, route: R): Promise<UpstreamConnection>;
  /** For clusters that say nothing of it. */
  readonly idleTimeoutMs: number;
  readonly maxConnections: number;
}

interface Member {
  readonly connection: UpstreamConnection;
  readonly idleTimeoutMs: number;
  readonly maxRequests: number;
  served: number;
  /** Monotonic ms since when nothing runs on it; undefined = busy when last looked at. */
  idleSince: number | undefined;
}

interface Line {
  readonly members: Member[];
  /** HTTP/2 only: a dial that others may wait for. */
  dialing: { readonly promise: Promise<Member>; waiting: number } | undefined;
}

const SWEEP_MS = 1_000;
/** So many requests wait for one HTTP/2 connection before another is dialled; peers allow about 100 streams. */
const WAITERS_PER_DIAL = 100;

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
   * Resolves to its answer. Rejects with the failure of the dial, CONNECTION_LIMIT_REACHED, or what `use` throws.
   *
   * @param fresh  one that carried nothing yet: after a failure that may only mean that a kept one was stale
   */
  async acquire<T>(
    permit: RequestPermit,
    route: R,
    use: (connection: UpstreamConnection) => T,
    fresh = false,
  ): Promise<T> {
    if (this.#closed) throw new MeshError(ErrorCode.CONNECTION_DRAINED, "the proxy is shutting down");
    const key = keyOf(route);
    const line = this.#lineOf(key);
    const kept = fresh ? undefined : findRoom(line);
    if (kept) return this.#use(kept, use);
    const member = await (route.protocol === "HTTP/2"
      ? this.#sharedDial(permit, route, line)
      : this.#dial(permit, route));
    if (!line.members.includes(member)) line.members.push(member);
    // The line may have been dropped as empty while this was dialled.
    this.#lines.set(key, line);
    if (!member.connection.hasRoom) return this.acquire(permit, route, use, fresh);
    return this.#use(member, use);
  }

  /** Nothing new; what is idle closes, what is busy ends with its requests. */
  drain(): void {
    this.#closed = true;
    this.#cancelSweep?.();
    for (const { members } of this.#lines.values()) for (const { connection } of members) connection.drain();
    this.#lines.clear();
  }

  /** Cuts everything that still runs. */
  destroy(error: MeshError): void {
    const lines = [...this.#lines.values()];
    this.drain();
    for (const { members } of lines) for (const { connection } of members) connection.destroy(error);
  }

  #use<T>(member: Member, use: (connection: UpstreamConnection) => T): T {
    member.idleSince = undefined;
    member.served += 1;
    const answer = use(member.connection);
    if (member.maxRequests > 0 && member.served >= member.maxRequests) member.connection.drain();
    return answer;
  }

  /** One dial for many; its waiters take the streams of what comes of it. */
  #sharedDial(permit: RequestPermit, route: R, line: Line): Promise<Member> {
    const under = line.dialing;
    if (under && under.waiting < WAITERS_PER_DIAL) {
      under.waiting += 1;
      return under.promise;
    }
    const promise = this.#dial(permit, route);
    const dialing = { promise, waiting: 1 };
    line.dialing = dialing;
    const done = (): void => {
      if (line.dialing === dialing) line.dialing = undefined;
    };
    promise.then(done, done);
    return promise;
  }

  async #dial(permit: RequestPermit, route: R): Promise<Member> {
    if (this.#connections >= this.#init.maxConnections) this.#sweep();
    if (this.#connections >= this.#init.maxConnections) {
      const message = `the waypoint holds ${this.#connections} upstream connections already`;
      throw new MeshError(ErrorCode.CONNECTION_LIMIT_REACHED, message, { retry: "never" });
    }
    this.#connections += 1;
    try {
      const connection = await this.#init.connect(permit, route);
      if (this.#closed) connection.drain();
      this.#sweepLater();
      const { http } = route.cluster;
      return {
        connection,
        idleTimeoutMs: http.idleTimeoutMs > 0 ? http.idleTimeoutMs : this.#init.idleTimeoutMs,
        maxRequests: http.maximumRequestsPerConnection,
        served: 0,
        idleSince: undefined,
      };
    } catch (error) {
      this.#connections -= 1;
      throw error;
    }
  }

  #lineOf(key: string): Line {
    const known = this.#lines.get(key);
    if (known) return known;
    const line: Line = { members: [], dialing: undefined };
    this.#lines.set(key, line);
    return line;
  }

  #sweepLater(): void {
    if (this.#cancelSweep || this.#closed) return;
    this.#cancelSweep = this.#init.clock.after(SWEEP_MS, () => {
      this.#cancelSweep = undefined;
      this.#sweep();
      if (this.#connections > 0) this.#sweepLater();
    });
  }

  /** Forgets what is over and closes what has been idle for too long. */
  #sweep(): void {
    const now = this.#init.clock.monotonic();
    for (const [key, line] of this.#lines) {
      for (let at = line.members.length - 1; at >= 0; at--) {
        const member = line.members[at]!;
        if (member.connection.active > 0) continue;
        if (member.connection.hasRoom && !isIdleTooLong(member, now)) continue;
        line.members.splice(at, 1);
        member.connection.drain();
        this.#connections -= 1;
      }
      if (line.members.length === 0 && !line.dialing) this.#lines.delete(key);
    }
  }
}

function isIdleTooLong(member: Member, now: number): boolean {
  member.idleSince ??= now;
  return now - member.idleSince >= member.idleTimeoutMs;
}

/** The one used last: the others get old and are closed. */
function findRoom(line: Line): Member | undefined {
  for (let at = line.members.length - 1; at >= 0; at--) {
    const member = line.members[at]!;
    if (member.connection.hasRoom) return member;
  }
  return undefined;
}

function keyOf({ cluster, endpoint, protocol, client }: UpstreamRoute): string {
  const via =
    endpoint.reach.kind === "hbone" && endpoint.reach.via ? `${endpoint.reach.via.ip}:${endpoint.reach.via.port}` : "";
  return `${cluster.name} ${endpoint.key} ${endpoint.reach.kind}${via} ${protocol} ${client}`;
}
