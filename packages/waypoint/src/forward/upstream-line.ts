/** Those who want the same connection, and the connections they share. Deciding only: the pool opens and closes. */
import type { UpstreamConnection } from "../http/message.ts";
import type { UpstreamRoute } from "./upstream-route.ts";

export interface Member {
  readonly connection: UpstreamConnection;
  readonly idleTimeoutMs: number;
  readonly maxRequests: number;
  served: number;
  /** Monotonic ms since when nothing runs on it; undefined = busy when last looked at. */
  idleSince: number | undefined;
}

export interface Waiter {
  readonly isWanted: () => boolean;
  readonly wake: () => void;
}

export interface Line {
  readonly members: Member[];
  /** Dials under way. */
  dials: number;
  /** HTTP/2 only: a dial that others may wait for. */
  dialing: { readonly promise: Promise<Member>; waiting: number } | undefined;
  /** Requests for which the cluster allows no further connection; as many as its "pending" limit allows. */
  waiters: Waiter[];
}

/** So many requests wait for one HTTP/2 connection before another is dialled; peers allow about 100 streams. */
const WAITERS_PER_DIAL = 100;

/** The one used last: the others get old and are closed. */
export function findRoom(line: Line): Member | undefined {
  for (let at = line.members.length - 1; at >= 0; at--) {
    const member = line.members[at]!;
    if (member.connection.hasRoom) return member;
  }
  return undefined;
}

/** A dial under way that one more request may wait for. */
export function joinable({ dialing }: Line, { protocol }: UpstreamRoute) {
  return protocol === "HTTP/2" && dialing && dialing.waiting < WAITERS_PER_DIAL ? dialing : undefined;
}

/** First come, first served; who left makes way. */
export function wakeOne(line: Line): void {
  for (;;) {
    const waiter = line.waiters.shift();
    waiter?.wake();
    if (!waiter || waiter.isWanted()) return;
  }
}

export function remove<T>(items: T[], item: T): void {
  const at = items.indexOf(item);
  if (at >= 0) items.splice(at, 1);
}

export function isIdleTooLong(member: Member, now: number): boolean {
  member.idleSince ??= now;
  return now - member.idleSince >= member.idleTimeoutMs;
}
