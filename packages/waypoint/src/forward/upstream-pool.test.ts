import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { type IpAddress, ipOf } from "@ambit/shared/net";
import type { Clock } from "@ambit/shared/time";
import { describe, expect, it } from "@jest/globals";
import { CircuitBreaker } from "../balance/index.ts";
import type { CircuitBreakers, Cluster, Endpoint } from "../balance/model.ts";
import type { UpstreamConnection } from "../http/message.ts";
import type { RequestPermit } from "../policy/model.ts";
import { type ConnectionHooks, UpstreamPool } from "./upstream-pool.ts";
import type { UpstreamRoute } from "./upstream-route.ts";

const permit = {} as RequestPermit;
const ip: IpAddress = ipOf("10.0.0.1");
const endpoint: Endpoint = {
  key: "10.0.0.1:80",
  address: { ip, port: 80 },
  weight: 1,
  health: "healthy",
  reach: { kind: "hbone" },
  workload: "",
};
const clusterWith = (http: Partial<Cluster["http"]> = {}): Cluster =>
  ({
    name: "inbound-vip|80|http|a",
    transport: { kind: "raw" },
    circuitBreakers: UNLIMITED,
    http: { protocol: "http1", idleTimeoutMs: 0, maximumRequestsPerConnection: 0, ...http },
  }) as Cluster;
const routeTo = (over: Partial<UpstreamRoute> = {}): UpstreamRoute => ({
  cluster: clusterWith(),
  endpoint,
  protocol: "HTTP/1.1",
  client: "10.0.0.9",
  ...over,
});

class Connection {
  readonly version: UpstreamConnection["version"];
  readonly #limit: number;
  active = 0;
  drained = false;
  dead = false;
  readonly hooks: ConnectionHooks;

  constructor(version: UpstreamConnection["version"], hooks: ConnectionHooks, limit = 1) {
    this.version = version;
    this.hooks = hooks;
    this.#limit = limit;
  }
  get hasRoom(): boolean {
    return !this.drained && !this.dead && this.active < this.#limit;
  }
  request(): never {
    throw new Error("not part of these tests");
  }
  drain(): void {
    this.drained = true;
    if (this.active === 0) this.hooks.onClose(undefined);
  }
  /** A request is over. */
  done(): void {
    this.active -= 1;
    this.hooks.onRoom();
  }
  destroy(): void {
    this.dead = true;
  }
}

const UNLIMITED: CircuitBreakers = {
  maximumConnections: undefined,
  maximumPendingRequests: undefined,
  maximumRequests: undefined,
  maximumRetries: undefined,
  retryBudget: undefined,
};

class ManualClock implements Clock {
  ms = 0;
  #tasks: (() => void)[] = [];
  now = (): number => this.ms;
  monotonic = (): number => this.ms;
  after = (_ms: number, task: () => void): (() => void) => {
    this.#tasks.push(task);
    return () => {
      this.#tasks = this.#tasks.filter((one) => one !== task);
    };
  };
  tick(ms: number): void {
    this.ms += ms;
    const due = this.#tasks;
    this.#tasks = [];
    for (const task of due) task();
  }
}

function poolOf(limit = 1, maxConnections = 10, limits: Partial<CircuitBreakers> = {}) {
  const clock = new ManualClock();
  const opened: Connection[] = [];
  const breaker = new CircuitBreaker({ ...UNLIMITED, ...limits });
  const gate = { before: async (): Promise<void> => {} };
  const pool = new UpstreamPool({
    clock,
    idleTimeoutMs: 10_000,
    maxConnections,
    breaker: () => breaker,
    connect: async (_permit, route, hooks) => {
      await gate.before();
      const connection = new Connection(route.protocol, hooks, limit);
      opened.push(connection);
      return connection as unknown as UpstreamConnection;
    },
  });
  const counts = () => [breaker.state("connections").active, breaker.state("pending").active];
  return { clock, opened, pool, gate, counts };
}

/** Takes a connection's room, as a request would. */
const take = (connection: UpstreamConnection): Connection => {
  const taken = connection as unknown as Connection;
  taken.active += 1;
  return taken;
};

describe("UpstreamPool", () => {
  it("uses an idle connection again, the one used last first", async () => {
    const { opened, pool } = poolOf();
    const first = await pool.acquire(permit, routeTo(), take);
    const second = await pool.acquire(permit, routeTo(), take);
    first.active = 0;
    second.active = 0;
    expect(await pool.acquire(permit, routeTo(), take)).toBe(second);
    expect(opened).toHaveLength(2);
  });

  it("gives the room of an idle connection to one of two who ask in the same turn", async () => {
    const { opened, pool } = poolOf();
    (await pool.acquire(permit, routeTo(), take)).active = 0;
    const [first, second] = await Promise.all([
      pool.acquire(permit, routeTo(), take),
      pool.acquire(permit, routeTo(), take),
    ]);
    expect(first).not.toBe(second);
    expect(opened.map(({ active }) => active)).toEqual([1, 1]);
  });

  it("never lets two clients share a connection", async () => {
    const { opened, pool } = poolOf(100);
    await pool.acquire(permit, routeTo({ protocol: "HTTP/2" }), take);
    await pool.acquire(permit, routeTo({ protocol: "HTTP/2", client: "10.0.0.8" }), take);
    expect(opened).toHaveLength(2);
  });

  it("dials once for HTTP/2 requests that come together", async () => {
    const { opened, pool } = poolOf(100);
    await Promise.all(Array.from({ length: 50 }, () => pool.acquire(permit, routeTo({ protocol: "HTTP/2" }), take)));
    expect(opened).toHaveLength(1);
  });

  it("gives a fresh connection when asked for one", async () => {
    const { opened, pool } = poolOf();
    (await pool.acquire(permit, routeTo(), take)).active = 0;
    await pool.acquire(permit, routeTo(), take, { fresh: true });
    expect(opened).toHaveLength(2);
  });

  it("closes what was idle for too long and forgets what died", async () => {
    const { clock, opened, pool } = poolOf();
    (await pool.acquire(permit, routeTo(), take)).active = 0;
    const busy = await pool.acquire(permit, routeTo({ client: "b" }), take);
    clock.tick(1_000);
    clock.tick(10_000);
    expect(opened.map(({ drained }) => drained)).toEqual([true, false]);
    expect(pool.size).toBe(1);
    busy.dead = true;
    busy.active = 0;
    clock.tick(1_000);
    expect(pool.size).toBe(0);
  });

  it("ends a connection that served its share of requests", async () => {
    const { opened, pool } = poolOf();
    const route = routeTo({ cluster: clusterWith({ maximumRequestsPerConnection: 2 }) });
    for (let at = 0; at < 3; at++) (await pool.acquire(permit, route, take)).active = 0;
    await Promise.resolve();
    expect(opened.map(({ drained }) => drained)).toEqual([true, false]);
  });

  it("refuses more connections than its bound", async () => {
    const { pool } = poolOf(1, 1);
    await pool.acquire(permit, routeTo(), take);
    await expect(pool.acquire(permit, routeTo(), take)).rejects.toMatchObject({
      code: ErrorCode.CONNECTION_LIMIT_REACHED,
    });
  });

  it("fails everybody who waited for a dial that failed, and none later", async () => {
    const clock = new ManualClock();
    let fails = true;
    const pool = new UpstreamPool({
      clock,
      idleTimeoutMs: 1,
      maxConnections: 1,
      breaker: () => new CircuitBreaker(UNLIMITED),
      connect: async (_permit, route, hooks) => {
        if (fails) throw new MeshError(ErrorCode.UPSTREAM_CONNECT_FAILED, "refused");
        return new Connection(route.protocol, hooks, 100) as unknown as UpstreamConnection;
      },
    });
    const route = routeTo({ protocol: "HTTP/2" });
    const both = await Promise.allSettled([pool.acquire(permit, route, take), pool.acquire(permit, route, take)]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    fails = false;
    await expect(pool.acquire(permit, route, take)).resolves.toBeDefined();
  });

  it("opens nothing once it drains", async () => {
    const { opened, pool } = poolOf();
    await pool.acquire(permit, routeTo(), take);
    pool.drain();
    expect(opened[0]?.drained).toBe(true);
    await expect(pool.acquire(permit, routeTo(), take)).rejects.toMatchObject({ code: ErrorCode.CONNECTION_DRAINED });
  });

  it("lets requests wait where the cluster allows no further connection, and refuses those over its limit", async () => {
    const { opened, pool, counts } = poolOf(1, 10, { maximumConnections: 1, maximumPendingRequests: 2 });
    const first = await pool.acquire(permit, routeTo(), take);
    const served: number[] = [];
    const waiting = [1, 2].map((name) =>
      pool.acquire(permit, routeTo(), (connection) => {
        served.push(name);
        return take(connection);
      }),
    );
    expect(counts()).toEqual([1, 2]);
    const refused = pool.acquire(permit, routeTo(), take);
    await expect(refused).rejects.toMatchObject({ code: ErrorCode.CIRCUIT_OPEN, context: { limit: "pending" } });
    first.done();
    (await waiting[0])?.done();
    await waiting[1];
    expect(served).toEqual([1, 2]);
    expect(opened).toHaveLength(1);
    expect(counts()).toEqual([1, 0]);
  });

  it("gives the place of one that left to the next, and one that dies to whoever waits", async () => {
    const { opened, pool, counts } = poolOf(1, 10, { maximumConnections: 1, maximumPendingRequests: 1 });
    const first = await pool.acquire(permit, routeTo(), take);
    let isWanted = true;
    const left = pool.acquire(permit, routeTo(), take, { isWanted: () => isWanted });
    isWanted = false;
    await expect(pool.acquire(permit, routeTo(), take)).rejects.toMatchObject({ code: ErrorCode.CIRCUIT_OPEN });
    await expect(left).rejects.toMatchObject({ code: ErrorCode.CANCELLED });
    const next = pool.acquire(permit, routeTo(), take);
    first.dead = true;
    first.hooks.onClose(undefined);
    await next;
    expect(opened).toHaveLength(2);
    expect(counts()).toEqual([1, 0]);
  });

  it("never keeps a client from its one connection because others have theirs", async () => {
    const { opened, pool } = poolOf(1, 10, { maximumConnections: 1 });
    await pool.acquire(permit, routeTo(), take);
    await pool.acquire(permit, routeTo({ client: "b" }), take);
    expect(opened).toHaveLength(2);
  });

  it("wakes who waits when it drains", async () => {
    const { pool, counts } = poolOf(1, 10, { maximumConnections: 1 });
    await pool.acquire(permit, routeTo(), take);
    const waiting = pool.acquire(permit, routeTo(), take);
    pool.drain();
    await expect(waiting).rejects.toMatchObject({ code: ErrorCode.CONNECTION_DRAINED });
    expect(counts()[1]).toBe(0);
  });

  it("keeps hold of connections whose lines were empty for a while during their dials", async () => {
    const { clock, opened, pool, gate } = poolOf();
    (await pool.acquire(permit, routeTo({ client: "other" }), take)).active = 0;
    const slow = Promise.withResolvers<void>();
    gate.before = () => slow.promise;
    const first = pool.acquire(permit, routeTo(), take);
    clock.tick(1_000);
    const second = pool.acquire(permit, routeTo(), take);
    slow.resolve();
    for (const connection of [await first, await second]) connection.done();
    clock.tick(1_000);
    clock.tick(10_000);
    clock.tick(10_000);
    expect(opened.every(({ drained }) => drained)).toBe(true);
    expect(pool.size).toBe(0);
  });

  it("makes a new connection when the cluster's TLS was configured anew", async () => {
    const { opened, pool } = poolOf();
    const tls = () => ({ ...clusterWith(), transport: { kind: "tls", sni: "a" } }) as Cluster;
    const cluster = tls();
    (await pool.acquire(permit, routeTo(), take)).active = 0;
    (await pool.acquire(permit, routeTo({ cluster }), take)).active = 0;
    (await pool.acquire(permit, routeTo({ cluster: { ...cluster } }), take)).active = 0;
    expect(opened).toHaveLength(2);
    await pool.acquire(permit, routeTo({ cluster: tls() }), take);
    expect(opened).toHaveLength(3);
  });

  it("gives up on an endpoint whose connections end as soon as they begin", async () => {
    const { opened, pool, counts } = poolOf(0);
    await expect(pool.acquire(permit, routeTo(), take)).rejects.toMatchObject({
      code: ErrorCode.UPSTREAM_CONNECT_FAILED,
      retry: "safe",
    });
    expect(opened).toHaveLength(3);
    expect(counts()[1]).toBe(0);
  });
});
