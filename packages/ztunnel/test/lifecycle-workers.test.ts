import { readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { silentLogger } from "@ambit/shared/log";
import { ipOf } from "@ambit/shared/net";
import { linuxPlatform } from "@ambit/shared/platform";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { DataPlaneConfig } from "../src/config/index.ts";
import type { AttachedPod } from "../src/control/pod-set.ts";
import { StateMirror } from "../src/control/state-mirror.ts";
import { WorkerPool } from "../src/control/worker-pool.ts";
import { threadSpawner } from "../src/control/worker-thread.ts";

const LOOPBACK = ipOf("127.0.0.1");
const pools: WorkerPool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.drain(0)));
});

async function startPool(count: number): Promise<WorkerPool> {
  const pool = new WorkerPool({
    count,
    config: {} as DataPlaneConfig,
    mirror: new StateMirror(),
    descriptors: linuxPlatform,
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    graceMs: 1_000,
    onMessage: () => {},
    spawn: threadSpawner(new URL("./fixtures/echo-worker.ts", import.meta.url), 64),
  });
  pools.push(pool);
  await pool.start();
  return pool;
}

/** A pod that listens on one loopback port, by SO_REUSEPORT in every worker. */
function podOn(uid: string): { readonly pod: AttachedPod; readonly port: () => number } {
  let port = 0;
  const listenersFor = () => {
    const hbone = linuxPlatform.listenTcp({ ip: LOOPBACK, port, reusePort: true });
    port = linuxPlatform.boundPort(hbone);
    return { hbone, dnsUdp: [], dnsTcp: [] };
  };
  return { pod: { uid, name: uid, namespace: "n", serviceAccount: "s", listenersFor }, port: () => port };
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, LOOPBACK, () => resolve(socket));
    socket.on("error", reject);
  });
}

function talk(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve) => {
    socket.once("data", (data) => resolve(data.toString()));
    socket.once("close", () => resolve("closed"));
    socket.write(text);
  });
}

async function say(port: number, text: string): Promise<string> {
  const socket = await open(port);
  try {
    return await talk(socket, text);
  } finally {
    socket.destroy();
  }
}

const openSockets = (): number => readdirSync("/proc/self/fd").length;

describe("data workers", () => {
  it("case 58: while a dead worker is replaced, new connections wait in the accept queue and none fails", async () => {
    const pool = await startPool(1);
    const { pod, port } = podOn("p1");
    await pool.attach(pod);
    const before = await say(port(), "hi");
    expect(await say(port(), "crash")).toBe("closed");
    const during = await Promise.all(Array.from({ length: 20 }, () => say(port(), "hi")));
    expect(new Set(during).size).toBe(1);
    expect(during[0]).toMatch(/:hi$/);
    expect(during[0]).not.toBe(before);
    expect(pool.status()).toEqual([{ id: 0, up: true, restarts: 1 }]);
  });

  it("case 58: running out of heap kills one worker and neither the process nor the other worker's connections", async () => {
    const pool = await startPool(2);
    const { pod, port } = podOn("p1");
    await pool.attach(pod);
    const sockets: Socket[] = [];
    const owners: (string | undefined)[] = [];
    // The kernel chooses between the two workers, so it may take a while until it has chosen both.
    while (sockets.length < 12 || new Set(owners).size < 2) {
      const socket = await open(port());
      sockets.push(socket);
      owners.push((await talk(socket, "x")).split(":")[0]);
    }
    const victim = owners[0];
    const survivors = sockets.filter((_, i) => owners[i] !== victim);
    expect(await talk(sockets[0] as Socket, "oom")).toBe("closed");
    for (const socket of survivors) expect(await talk(socket, "still")).toMatch(/:still$/);
    const after = await Promise.all(Array.from({ length: 12 }, () => say(port(), "new")));
    for (const answer of after) expect(answer).toMatch(/:new$/);
    for (const socket of sockets) socket.destroy();
  });

  it("a recycled worker serves its pods again, and dead workers leave no descriptor behind", async () => {
    const pool = await startPool(1);
    const { pod, port } = podOn("p1");
    await pool.attach(pod);
    await say(port(), "warm up");
    const before = openSockets();
    for (let i = 0; i < 5; i++) {
      expect(pool.recycle(0)).toBe(true);
      // The dying thread may still accept one connection.
      const first = await say(port(), "hi");
      expect(first === "closed" ? await say(port(), "hi") : first).toMatch(/:hi$/);
    }
    await eventually("they are closed", () => openSockets() <= before + 3);
  });

  it("a detached pod's port refuses at once", async () => {
    const pool = await startPool(2);
    const { pod, port } = podOn("p1");
    await pool.attach(pod);
    await say(port(), "hi");
    await pool.detach("p1", { graceful: false });
    await expect(open(port())).rejects.toThrow("ECONNREFUSED");
  });

  it("a worker that dies while pods are being attached still gets them", async () => {
    const pool = await startPool(1);
    const pods = Array.from({ length: 10 }, (_, i) => podOn(`p${i}`));
    const attached = Promise.all(pods.map(({ pod }) => pool.attach(pod)));
    pool.recycle(0);
    await attached;
    for (const { port } of pods) expect(await say(port(), "hi")).toMatch(/:hi$/);
  });
});
