import { silentLogger } from "@ambit/shared/log";
import type { Clock } from "@ambit/shared/time";
import { describe, expect, it } from "@jest/globals";
import type { DataPlaneConfig } from "../config/index.ts";
import type { PodListeners, ToWorker } from "../messages.ts";
import type { AttachedPod } from "./pod-set.ts";
import { StateMirror } from "./state-mirror.ts";
import { WorkerPool } from "./worker-pool.ts";
import type { WorkerThreadEvents } from "./worker-thread.ts";

/** A clock whose timers run when told to. */
function manualClock() {
  let now = 0;
  const timers: { at: number; task: () => void; live: boolean }[] = [];
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    after(delayMs, task) {
      const timer = { at: now + delayMs, task, live: true };
      timers.push(timer);
      return () => {
        timer.live = false;
      };
    },
  };
  const advance = async (ms: number): Promise<void> => {
    now += ms;
    for (const timer of timers.filter((each) => each.live && each.at <= now)) {
      timer.live = false;
      timer.task();
    }
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { clock, advance };
}

interface FakeThread {
  readonly id: number;
  readonly inbox: ToWorker[];
  readonly events: WorkerThreadEvents;
}

/** A pool whose threads are records of what they were told; descriptors are numbers counted up. */
function setUp(count = 2) {
  const { clock, advance } = manualClock();
  const threads: FakeThread[] = [];
  let nextFd = 1_000_000;
  const openFds = new Set<number>();
  const make = (): number => {
    openFds.add(++nextFd);
    return nextFd;
  };
  const descriptors = {
    duplicate: (fd: number) => {
      if (!openFds.has(fd)) throw new Error("EBADF");
      return make();
    },
    close: (fd: number) => void openFds.delete(fd),
  };
  const mirror = new StateMirror();
  const pool = new WorkerPool({
    count,
    config: {} as DataPlaneConfig,
    mirror,
    descriptors,
    clock,
    random: () => 0.5,
    log: silentLogger,
    graceMs: 5_000,
    onMessage: () => {},
    spawn: (id, events) => {
      const inbox: ToWorker[] = [];
      threads.push({ id, inbox, events });
      return { post: (message) => void inbox.push(message), terminate: () => events.onExit(1) };
    },
  });
  const pod: AttachedPod = {
    uid: "u1",
    name: "web",
    namespace: "shop",
    serviceAccount: "web",
    listenersFor: (): PodListeners => ({ hbone: make(), outbound: make(), dnsUdp: [make()], dnsTcp: [] }),
  };
  const current = (id: number): FakeThread => threads.findLast((thread) => thread.id === id) as FakeThread;
  const answer = (id: number, kind: "started" | "pod-attached" | "pod-detached" | "drained"): void =>
    current(id).events.onMessage(kind === "started" || kind === "drained" ? { kind } : { kind, uid: "u1" });
  return { pool, mirror, threads, pod, current, answer, advance, openFds, make };
}

const kinds = (thread: FakeThread): readonly string[] => thread.inbox.map(({ kind }) => kind);

describe("WorkerPool", () => {
  it("is started when every worker said so", async () => {
    const { pool, answer } = setUp();
    let started = false;
    const start = pool.start().then(() => {
      started = true;
    });
    answer(0, "started");
    await Promise.resolve();
    expect(started).toBe(false);
    answer(1, "started");
    await start;
    expect(pool.status().map(({ up }) => up)).toEqual([true, true]);
  });

  it("tells a replacement everything its predecessor knew, pods last", async () => {
    const { pool, pod, current, answer, advance } = setUp();
    void pool.start();
    pool.broadcast({ kind: "policies", delta: { policies: [{ namespace: "n", name: "p" } as never], removed: [] } });
    pool.broadcast({ kind: "snapshot-complete" });
    const attached = pool.attach(pod);
    answer(0, "pod-attached");
    answer(1, "pod-attached");
    await attached;
    const before = current(0);
    before.events.onExit(1);
    await advance(100);
    expect(current(0)).not.toBe(before);
    expect(kinds(current(0))).toEqual(["start", "policies", "snapshot-complete", "attach-pod"]);
    expect(current(1).inbox.filter(({ kind }) => kind === "attach-pod")).toHaveLength(1);
  });

  it("gives workers duplicates only and closes the originals when the pod leaves", async () => {
    const { pool, pod, answer, openFds, current } = setUp(1);
    void pool.start();
    const attached = pool.attach(pod);
    answer(0, "pod-attached");
    await attached;
    expect(openFds.size).toBe(6);
    const sent = current(0).inbox.find((message) => message.kind === "attach-pod");
    const detached = pool.detach("u1", { graceful: true });
    expect(openFds.size).toBe(3);
    expect(sent?.kind === "attach-pod" && openFds.has(sent.pod.listeners.hbone)).toBe(true);
    answer(0, "pod-detached");
    await detached;
    expect(current(0).inbox.at(-1)).toEqual({ kind: "detach-pod", uid: "u1", graceMs: 5_000 });
  });

  it("completes an attach through the replacement when the worker dies in the middle of it", async () => {
    const { pool, pod, answer, current, advance } = setUp(1);
    void pool.start();
    const attached = pool.attach(pod);
    current(0).events.onExit(1);
    await advance(100);
    expect(kinds(current(0))).toContain("attach-pod");
    answer(0, "pod-attached");
    await expect(attached).resolves.toBeUndefined();
  });

  it("rejects an attach that a worker cannot serve and leaves nothing behind", async () => {
    const { pool, pod, current, answer, openFds } = setUp(2);
    void pool.start();
    const attached = pool.attach(pod);
    answer(0, "pod-attached");
    current(1).events.onMessage({ kind: "pod-failed", uid: "u1", message: "EADDRINUSE" });
    await new Promise((resolve) => setImmediate(resolve));
    answer(0, "pod-detached");
    answer(1, "pod-detached");
    await expect(attached).rejects.toMatchObject({ code: "PLATFORM_CALL_FAILED" });
    expect(pool.pods.has("u1")).toBe(false);
    // What is left are the duplicates, which a worker closes itself.
    expect(openFds.size).toBe(6);
  });

  it("closes what it made when listening fails halfway", async () => {
    const { pool, pod, make, openFds } = setUp(2);
    let calls = 0;
    const listenersFor = (): PodListeners => {
      if (calls++ > 0) throw new Error("EADDRINUSE");
      return { hbone: make(), dnsUdp: [], dnsTcp: [] };
    };
    await expect(pool.attach({ ...pod, listenersFor })).rejects.toThrow("EADDRINUSE");
    expect(openFds.size).toBe(0);
  });

  it("case 60: a replacement that gets no descriptors for a pod is given it later", async () => {
    const { pool, pod, answer, current, advance, openFds } = setUp(1);
    void pool.start();
    const attached = pool.attach(pod);
    answer(0, "pod-attached");
    await attached;
    const saved = [...openFds];
    openFds.clear();
    current(0).events.onExit(1);
    await advance(100);
    expect(kinds(current(0))).toEqual(["start"]);
    for (const fd of saved) openFds.add(fd);
    answer(0, "started");
    await advance(5_000);
    expect(kinds(current(0))).toEqual(["start", "attach-pod"]);
  });

  it("restarts a crashing worker ever more slowly, and one that was recycled at once", async () => {
    const { pool, threads, current, advance } = setUp(1);
    void pool.start();
    for (let i = 0; i < 8; i++) {
      current(0).events.onExit(1);
      await advance(0);
      expect(threads).toHaveLength(i + 1);
      await advance(10_000);
    }
    expect(pool.status()[0]?.restarts).toBe(8);
    pool.recycle(0);
    await advance(0);
    expect(threads).toHaveLength(10);
    expect(pool.recycle(7)).toBe(false);
  });

  it("drains until the workers are done, or to the deadline, and then ends them", async () => {
    const { pool, pod, answer, advance, threads, current, openFds } = setUp(2);
    void pool.start();
    const attached = pool.attach(pod);
    answer(0, "pod-attached");
    answer(1, "pod-attached");
    await attached;
    let ended = false;
    const drained = pool.drain(3_000).then(() => {
      ended = true;
    });
    expect(current(0).inbox.at(-1)).toEqual({ kind: "drain", deadlineMs: 3_000 });
    expect(openFds.size).toBe(6);
    answer(0, "drained");
    await advance(3_000);
    expect(ended).toBe(false);
    await advance(1_000);
    await drained;
    await advance(60_000);
    expect(threads).toHaveLength(2);
  });

  it("collects reports from running workers and does not wait for a silent one", async () => {
    const { pool, answer, current, advance } = setUp(2);
    void pool.start();
    answer(0, "started");
    answer(1, "started");
    const reports = pool.reports();
    const report = { pods: {}, socketsOpen: { source: 1, destination: 0 }, poolSessions: 3 };
    current(0).events.onMessage({ kind: "report", requestId: 1, report });
    await advance(2_000);
    expect(await reports).toEqual([report]);
  });
});
