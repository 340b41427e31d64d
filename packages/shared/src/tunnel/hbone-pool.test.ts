import { describe, expect, it } from "@jest/globals";
import { MeshError } from "../errors/index.ts";
import type { H2Session, H2SessionHandlers } from "../http2/index.ts";
import type { SpiffeUri } from "../identity/index.ts";
import { ipOf } from "../net/index.ts";
import type { Clock } from "../time/index.ts";
import type { DialedSession } from "./hbone-dialer.ts";
import { HbonePool, type PooledSession } from "./hbone-pool.ts";
import { poolKey, type TunnelRoute } from "./pool-key.ts";

const route = (extra: Partial<TunnelRoute> = {}): TunnelRoute => ({
  identity: "spiffe://cluster.local/ns/shop/sa/web" as SpiffeUri,
  owner: "web",
  nextHop: { ip: ipOf("10.0.0.2"), port: 15008 },
  expected: ["spiffe://cluster.local/ns/shop/sa/cart" as SpiffeUri],
  ...extra,
});

/** A session as the pool sees it; streams come and go when told. */
class FakeSession {
  activeStreams = 0;
  streamLimit = 100;
  acceptsStreams = true;
  ended: string | undefined;
  readonly handlers: H2SessionHandlers;

  constructor(handlers: H2SessionHandlers) {
    this.handlers = handlers;
  }
  closeStream(): void {
    this.activeStreams -= 1;
    this.handlers.onCapacity?.();
  }
  shutdown(): void {
    this.acceptsStreams = false;
    if (this.activeStreams === 0) this.end("shutdown");
  }
  destroy(): void {
    this.end("destroyed");
  }
  private end(how: string): void {
    if (this.ended !== undefined) return;
    this.acceptsStreams = false;
    this.ended = how;
    this.handlers.onClose(undefined);
  }
}

interface Dial {
  readonly route: TunnelRoute;
  readonly session: FakeSession;
  succeed(expiresAt?: number): Promise<void>;
  fail(): Promise<void>;
}

function setUp(maxStreamsPerSession = 2) {
  let now = 1_000;
  let timers: { at: number; task: () => void }[] = [];
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    after(delayMs, task) {
      const timer = { at: now + delayMs, task };
      timers.push(timer);
      return () => {
        timers = timers.filter((each) => each !== timer);
      };
    },
  };
  const advance = (ms: number): void => {
    const until = now + ms;
    for (let next = timers[0]; next !== undefined; next = timers.filter(({ at }) => at <= until)[0]) {
      if (next.at > until) break;
      timers = timers.filter((each) => each !== next);
      now = Math.max(now, next.at);
      next.task();
    }
    now = until;
  };
  const dials: Dial[] = [];
  const pool = new HbonePool<TunnelRoute, string>({
    clock,
    maxStreamsPerSession,
    idleReleaseMs: 60_000,
    dial: (to, handlers) => {
      const { promise, resolve, reject } = Promise.withResolvers<DialedSession>();
      const session = new FakeSession(handlers);
      const settled = () => new Promise<void>((done) => setImmediate(done));
      dials.push({
        route: to,
        session,
        succeed: (expiresAt = Number.POSITIVE_INFINITY) => {
          resolve({ session: session as unknown as H2Session, peer: {} as never, expiresAt });
          return settled();
        },
        fail: () => {
          reject(new MeshError("TLS_HANDSHAKE_FAILED", "no"));
          return settled();
        },
      });
      return promise;
    },
  });
  const open = (pooled: PooledSession): FakeSession => {
    const session = pooled.session as unknown as FakeSession;
    session.activeStreams += 1;
    return session;
  };
  return { pool, dials, open, advance };
}

/** What a proxy would ask its authorizer for. */
const permit = "permit";

const SETTLE = (): Promise<void> => new Promise((done) => setImmediate(done));

describe("HbonePool", () => {
  it("dials once for all who wait, and serves them in order", async () => {
    const { pool, dials, open } = setUp();
    const waiting = [pool.acquire(permit, route(), open), pool.acquire(permit, route(), open)];
    expect(dials).toHaveLength(1);
    await dials[0]?.succeed();
    expect(await Promise.all(waiting)).toEqual([dials[0]?.session, dials[0]?.session]);
  });

  it("dials as many sessions as those who wait will fill", () => {
    const { pool, dials, open } = setUp();
    for (let i = 0; i < 5; i++) void pool.acquire(permit, route(), open);
    expect(dials).toHaveLength(3);
  });

  it("fails all who wait for a dial that failed, at once", async () => {
    const { pool, dials, open } = setUp();
    const waiting = [pool.acquire(permit, route(), open), pool.acquire(permit, route(), open)].map((each) =>
      each.catch(({ code }) => code),
    );
    await dials[0]?.fail();
    expect(await Promise.all(waiting)).toEqual(["TLS_HANDSHAKE_FAILED", "TLS_HANDSHAKE_FAILED"]);
    expect(pool.sessions).toBe(0);
  });

  it("uses a full session again when it has room", async () => {
    const { pool, dials, open } = setUp(1);
    const first = pool.acquire(permit, route(), open);
    await dials[0]?.succeed();
    (await first).closeStream();
    await pool.acquire(permit, route(), open);
    expect(dials).toHaveLength(1);
  });

  it("gives room that appears to those who wait for another dial", async () => {
    const { pool, dials, open } = setUp(1);
    const first = pool.acquire(permit, route(), open);
    await dials[0]?.succeed();
    const second = pool.acquire(permit, route(), open);
    expect(dials).toHaveLength(2);
    (await first).closeStream();
    expect(await second).toBe(dials[0]?.session);
  });

  it("heeds a limit that the peer's later SETTINGS bring", async () => {
    const { pool, dials, open } = setUp(10);
    const first = pool.acquire(permit, route(), open);
    await dials[0]?.succeed();
    const session = await first;
    session.streamLimit = 1;
    session.handlers.onSettings?.();
    void pool.acquire(permit, route(), open);
    expect(dials).toHaveLength(2);
  });

  it("does not use a session after GOAWAY, and lets its streams end", async () => {
    const { pool, dials, open } = setUp();
    const first = pool.acquire(permit, route(), open);
    await dials[0]?.succeed();
    (await first).handlers.onGoaway?.(1, 0);
    void pool.acquire(permit, route(), open);
    expect(dials).toHaveLength(2);
    expect(dials[0]?.session.ended).toBeUndefined();
  });

  it.each<[string, Partial<TunnelRoute>]>([
    ["source identity", { identity: "spiffe://cluster.local/ns/shop/sa/other" as SpiffeUri }],
    ["source pod", { owner: "other" }],
    ["expected peer", { expected: { trustDomain: "cluster.local" } }],
    ["next hop", { nextHop: { ip: ipOf("10.0.0.3"), port: 15008 } }],
    ["expected identities", { expected: ["spiffe://cluster.local/ns/shop/sa/x" as SpiffeUri] }],
  ])("case 15: never shares a session across a difference of %s", async (_name, extra) => {
    const { pool, dials, open } = setUp();
    void pool.acquire(permit, route(), open);
    await dials[0]?.succeed();
    void pool.acquire(permit, route(extra), open);
    expect(dials).toHaveLength(2);
    expect(poolKey(route(extra))).not.toBe(poolKey(route()));
  });

  it("releases an idle session after its time, a used one never", async () => {
    const { pool, dials, open, advance } = setUp();
    const first = pool.acquire(permit, route(), open);
    await dials[0]?.succeed();
    const session = await first;
    advance(120_000);
    expect(session.ended).toBeUndefined();
    session.closeStream();
    advance(59_000);
    expect(session.ended).toBeUndefined();
    advance(3_000);
    expect(session.ended).toBe("shutdown");
    expect(pool.sessions).toBe(0);
  });

  it("drains a session whose certificate expires, streams running on", async () => {
    const { pool, dials, open, advance } = setUp();
    const first = pool.acquire(permit, route(), open);
    await dials[0]?.succeed(11_000);
    const session = await first;
    advance(11_000);
    expect(session).toMatchObject({ acceptsStreams: false, ended: undefined });
    void pool.acquire(permit, route(), open);
    expect(dials).toHaveLength(2);
  });

  it("case 11: cuts a revoked peer's session also after it left the pool with streams running", async () => {
    const { pool, dials, open, advance } = setUp();
    const first = pool.acquire(permit, route(), open);
    await dials[0]?.succeed(11_000);
    const session = await first;
    advance(11_000);
    expect(session).toMatchObject({ acceptsStreams: false, ended: undefined });
    pool.revocationsChanged({ isRevoked: () => true });
    expect(session.ended).toBe("destroyed");
    expect(pool.sessions).toBe(0);
  });

  it("ends what a pod or an identity leaves behind", async () => {
    const { pool, dials, open } = setUp();
    void pool.acquire(permit, route(), open);
    void pool.acquire(permit, route({ owner: "other" }), open);
    await dials[0]?.succeed();
    await dials[1]?.succeed();
    pool.dropOwner("web", "destroy");
    expect(dials.map(({ session }) => session.ended)).toEqual(["destroyed", undefined]);
    pool.dropIdentity(route().identity);
    expect(dials[1]?.session.ended).toBe("destroyed");
    expect(pool.sessions).toBe(0);
  });

  it("fails those who wait when the new session takes no streams, instead of dialling on", async () => {
    const { pool, dials, open } = setUp();
    const waiting = pool.acquire(permit, route(), open).catch(({ code, retry }) => [code, retry]);
    if (dials[0] !== undefined) dials[0].session.streamLimit = 0;
    await dials[0]?.succeed();
    expect(await waiting).toEqual(["H2_SESSION_CLOSED", "safe"]);
    await SETTLE();
    expect(dials).toHaveLength(1);
  });

  it("gives whoever asks for a fresh session one that carried nothing", async () => {
    const { pool, dials, open } = setUp();
    const first = pool.acquire(permit, route(), open);
    await dials[0]?.succeed();
    const fresh = pool.acquire(permit, route(), open, true);
    (await first).closeStream();
    await dials[1]?.succeed();
    expect(await fresh).toBe(dials[1]?.session);
  });

  it("opens nothing after drain", async () => {
    const { pool, dials, open } = setUp();
    const first = pool.acquire(permit, route(), open);
    await dials[0]?.succeed();
    pool.drain();
    await expect(pool.acquire(permit, route(), open)).rejects.toMatchObject({ code: "CONNECTION_DRAINED" });
    expect((await first).ended).toBeUndefined();
  });

  it("gives a session to nobody without the permit it was made for", () => {
    const { pool, open } = setUp();
    // @ts-expect-error: what is no permit does not compile
    void pool.acquire(undefined, route(), open).catch(() => {});
    // @ts-expect-error: a pool that asks for a permit cannot pass for one that takes anything
    const careless: HbonePool<TunnelRoute, unknown> = pool;
    expect(careless).toBe(pool);
  });
});
