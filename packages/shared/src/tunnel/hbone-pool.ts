/**
 * HBONE sessions, shared by the connections of one owner to one next hop.
 *
 * A key has its sessions and a line of those who wait for a stream. Whoever finds no room joins the line; one dial per
 * key is under way for as long as the line is longer than what is being dialled will hold. A session that was full and
 * has room again serves the line, or the next comer.
 *
 * Parity: ztunnel src/proxy/pool.rs. Differs: the peer's later SETTINGS count, full sessions come back, a failed dial
 * fails all who waited for it at once, expired and idle sessions are drained, the number of sessions is bounded.
 */
import { LiveList, type LiveMember } from "../collections/index.ts";
import { ErrorCode, MeshError } from "../errors/index.ts";
import type { Clock } from "../time/index.ts";
import { isPeerRevoked, type RevocationCheck } from "../tls/index.ts";
import type { DialedSession, DialSession } from "./hbone-dialer.ts";
import { poolKey, type TunnelRoute } from "./pool-key.ts";

/** A session with its place in the pool. */
export interface PooledSession extends DialedSession {
  readonly route: TunnelRoute;
  /** Streams opened on it so far; more than none means it may be stale. */
  opened: number;
}

export interface PoolInit<Route extends TunnelRoute> {
  readonly clock: Clock;
  readonly dial: DialSession<Route>;
  readonly maxStreamsPerSession: number;
  readonly idleReleaseMs: number;
}

interface MemberOf extends PooledSession {
  /** Monotonic ms since when no stream runs; undefined = busy. */
  idleSince: number | undefined;
  /** Its place among the retired. */
  retired: LiveMember<MemberOf> | undefined;
}

interface Waiter {
  /** Only a session that carried nothing yet will do. */
  readonly fresh: boolean;
  serve(session: PooledSession): void;
  fail(error: MeshError): void;
}

interface Line<Route> {
  readonly route: Route;
  readonly members: MemberOf[];
  waiters: Waiter[];
  dialing: number;
}

const MAX_SESSIONS = 4096;
const SWEEP_MS = 1000;

/**
 * `Permit` is the proof that a proxy asks for before bytes may flow: nobody gets a session without one, so a path to a
 * destination around authorisation does not compile.
 */
export class HbonePool<Route extends TunnelRoute, in Permit> {
  private readonly init: PoolInit<Route>;
  private readonly lines = new Map<string, Line<Route>>();
  /** Out of the pool and still carrying streams: what cuts connections must reach them too. */
  private readonly retired = new LiveList<MemberOf>();
  private sessionCount = 0;
  private cancelSweep: (() => void) | undefined;
  private closed = false;

  constructor(init: PoolInit<Route>) {
    this.init = init;
  }

  /**
   * Calls `open` with a session that has room for a stream, within the same turn, and resolves to its answer.
   * `fresh` asks for one that has carried nothing yet.
   */
  acquire<T>(_permit: Permit, route: Route, open: (session: PooledSession) => T, fresh = false): Promise<T> {
    if (this.closed) return Promise.reject(new MeshError(ErrorCode.CONNECTION_DRAINED, "the proxy is shutting down"));
    const key = poolKey(route);
    const line = this.lineOf(key, route);
    const member = fresh ? undefined : this.withRoom(line);
    if (member !== undefined) {
      try {
        return Promise.resolve(this.use(member, open));
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return new Promise<T>((resolve, reject) => {
      line.waiters.push({
        fresh,
        serve: (session) => {
          try {
            resolve(open(session));
          } catch (error) {
            reject(error);
          }
        },
        fail: reject,
      });
      this.dialAsNeeded(key, line);
    });
  }

  get sessions(): number {
    return this.sessionCount;
  }

  /** Ends the sessions of an owner: gracefully, or at once. */
  dropOwner(owner: string, how: "drain" | "destroy"): void {
    this.dropWhere((member) => member.route.owner === owner, how);
  }

  /** The identity is no longer served here. */
  dropIdentity(identity: string): void {
    this.dropWhere((member) => member.route.identity === identity, "destroy");
  }

  revocationsChanged(revocation: RevocationCheck): void {
    const error = new MeshError(ErrorCode.TLS_PEER_CERTIFICATE_REVOKED, "the peer's certificate was revoked");
    this.dropWhere((member) => isPeerRevoked(member.peer, revocation), "destroy", error);
  }

  /** No new sessions; those that exist end with their streams. */
  drain(): void {
    this.closed = true;
    this.dropWhere(() => true, "drain");
  }

  private dropWhere(matches: (member: MemberOf) => boolean, how: "drain" | "destroy", error?: MeshError): void {
    const found = [...this.lines.values()].flatMap((line) =>
      line.members.filter(matches).map((member) => ({ line, member })),
    );
    if (how === "drain") {
      for (const { line, member } of found) this.retire(line, member);
      return;
    }
    const cause = error ?? new MeshError(ErrorCode.CONNECTION_DRAINED, "the pod has left the mesh");
    const retired = this.retired.values().filter(matches);
    for (const member of [...retired, ...found.map((one) => one.member)]) member.session.destroy(cause);
  }

  private lineOf(key: string, route: Route): Line<Route> {
    let line = this.lines.get(key);
    if (line === undefined) {
      line = { route, members: [], waiters: [], dialing: 0 };
      this.lines.set(key, line);
    }
    return line;
  }

  private withRoom(line: Line<Route>): MemberOf | undefined {
    const now = this.init.clock.now();
    for (let at = 0; at < line.members.length; ) {
      const member = line.members[at]!;
      if (member.expiresAt <= now || !member.session.acceptsStreams) this.retire(line, member);
      else if (this.hasRoom(member)) return member;
      else at++;
    }
    return undefined;
  }

  private hasRoom({ session }: MemberOf): boolean {
    return session.activeStreams < Math.min(session.streamLimit, this.init.maxStreamsPerSession);
  }

  private use<T>(member: MemberOf, open: (session: PooledSession) => T): T {
    member.idleSince = undefined;
    const opened = open(member);
    member.opened += 1;
    return opened;
  }

  private dialAsNeeded(key: string, line: Line<Route>): void {
    if (line.waiters.length <= line.dialing * this.init.maxStreamsPerSession) return;
    if (this.sessionCount >= MAX_SESSIONS && !this.releaseOneIdle()) {
      const message = `all ${MAX_SESSIONS} tunnels are in use`;
      this.failWaiters(key, line, new MeshError(ErrorCode.CONNECTION_LIMIT_REACHED, message));
      return;
    }
    line.dialing += 1;
    this.sessionCount += 1;
    void this.dial(key, line);
  }

  private async dial(key: string, line: Line<Route>): Promise<void> {
    let member: MemberOf | undefined;
    let over = false;
    const onRoom = (): void => {
      if (member === undefined) return;
      if (member.session.activeStreams === 0) member.idleSince = this.init.clock.monotonic();
      this.serveLine(key, line, member);
    };
    const onClose = (): void => {
      if (!over) this.sessionCount -= 1;
      over = true;
      if (member !== undefined) this.forget(key, line, member);
    };
    try {
      const onGoaway = (): void => void (member !== undefined && this.retire(line, member));
      const dialed = await this.init.dial(line.route, { onCapacity: onRoom, onSettings: onRoom, onGoaway, onClose });
      line.dialing -= 1;
      member = { ...dialed, route: line.route, opened: 0, idleSince: this.init.clock.monotonic(), retired: undefined };
    } catch (error) {
      line.dialing -= 1;
      onClose();
      this.failWaiters(key, line, MeshError.from(error, ErrorCode.UPSTREAM_CONNECT_FAILED, { origin: "upstream" }));
      return;
    }
    if (over || !member.session.acceptsStreams || !this.hasRoom(member)) {
      // Failing those who wait, instead of dialling on, keeps a peer that hangs up at once from being dialled for ever.
      const message = "the new session takes no streams";
      this.failWaiters(key, line, new MeshError(ErrorCode.H2_SESSION_CLOSED, message, { retry: "safe" }));
      member.session.shutdown();
      return;
    }
    line.members.push(member);
    this.lines.set(key, line);
    this.planSweep();
    this.serveLine(key, line, member);
    if (this.closed && !over) this.retire(line, member);
  }

  private serveLine(key: string, line: Line<Route>, member: MemberOf): void {
    while (line.members.includes(member) && member.session.acceptsStreams && this.hasRoom(member)) {
      const next = line.waiters.findIndex((waiter) => !waiter.fresh || member.opened === 0);
      const [waiter] = next < 0 ? [] : line.waiters.splice(next, 1);
      if (waiter === undefined) break;
      this.use(member, (session) => waiter.serve(session));
    }
    if (line.waiters.length > 0) this.dialAsNeeded(key, line);
  }

  private failWaiters(key: string, line: Line<Route>, error: MeshError): void {
    const failed = line.waiters;
    line.waiters = [];
    for (const waiter of failed) waiter.fail(error);
    this.forgetLineIfEmpty(key, line);
  }

  /** Out of the pool; what runs on it ends in its own time. */
  private retire(line: Line<Route>, member: MemberOf): void {
    remove(line.members, member);
    member.retired ??= this.retired.add(member);
    member.session.shutdown();
    this.forgetLineIfEmpty(poolKey(line.route), line);
  }

  private forget(key: string, line: Line<Route>, member: MemberOf): void {
    remove(line.members, member);
    member.retired?.leave();
    if (line.waiters.length > 0) this.dialAsNeeded(key, line);
    this.forgetLineIfEmpty(key, line);
  }

  private forgetLineIfEmpty(key: string, line: Line<Route>): void {
    const empty = line.members.length === 0 && line.waiters.length === 0 && line.dialing === 0;
    if (empty && this.lines.get(key) === line) this.lines.delete(key);
  }

  private planSweep(): void {
    this.cancelSweep ??= this.init.clock.after(SWEEP_MS, () => {
      this.cancelSweep = undefined;
      this.sweep();
      if (this.lines.size > 0) this.planSweep();
    });
  }

  private sweep(): void {
    const now = this.init.clock.now();
    const idleBefore = this.init.clock.monotonic() - this.init.idleReleaseMs;
    for (const line of [...this.lines.values()]) {
      for (const member of [...line.members]) {
        const idle = member.session.activeStreams === 0 && (member.idleSince ?? Number.POSITIVE_INFINITY) <= idleBefore;
        if (idle || member.expiresAt <= now) this.retire(line, member);
      }
    }
  }

  private releaseOneIdle(): boolean {
    for (const line of this.lines.values()) {
      for (const member of line.members) {
        if (member.session.activeStreams > 0) continue;
        this.retire(line, member);
        return true;
      }
    }
    return false;
  }
}

function remove<T>(items: T[], item: T): void {
  const at = items.indexOf(item);
  if (at >= 0) items.splice(at, 1);
}
