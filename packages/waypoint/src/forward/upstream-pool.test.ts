import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { type IpAddress, ipOf } from "@ambit/shared/net";
import type { Clock } from "@ambit/shared/time";
import { describe, expect, it } from "@jest/globals";
import type { Cluster, Endpoint } from "../balance/model.ts";
import type { UpstreamConnection } from "../http/message.ts";
import type { RequestPermit } from "../policy/model.ts";
import { UpstreamPool, type UpstreamRoute } from "./upstream-pool.ts";

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

  constructor(version: UpstreamConnection["version"], limit = 1) {
    this.version = version;
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
  }
  destroy(): void {
    this.dead = true;
  }
}

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

function poolOf(limit = 1, maxConnections = 10) {
  const clock = new ManualClock();
  const opened: Connection[] = [];
  const pool = new UpstreamPool({
    clock,
    idleTimeoutMs: 10_000,
    maxConnections,
    connect: async (_permit, route) => {
      const connection = new Connection(route.protocol, limit);
      opened.push(connection);
      return connection as unknown as UpstreamConnection;
    },
  });
  return { clock, opened, pool };
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
    await pool.acquire(permit, routeTo(), take, true);
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
      connect: async (_permit, route) => {
        if (fails) throw new MeshError(ErrorCode.UPSTREAM_CONNECT_FAILED, "refused");
        return new Connection(route.protocol, 100) as unknown as UpstreamConnection;
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
});
