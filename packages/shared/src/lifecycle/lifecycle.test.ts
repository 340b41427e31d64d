import { EventEmitter } from "node:events";
import { describe, expect, it } from "@jest/globals";
import { compactMemory } from "./compact-memory.ts";
import { drainDeadlineMs, within } from "./drain.ts";
import { Readiness } from "./readiness.ts";
import { createShutdown } from "./shutdown.ts";

describe("drainDeadlineMs", () => {
  it.each<[number | undefined, number | undefined, number, string]>([
    [undefined, undefined, 5_000, "the default"],
    [undefined, 30, 25_000, "five seconds kept back"],
    [undefined, 11, 6_000, "just above ten"],
    [undefined, 10, 9_000, "one second kept back"],
    [undefined, 1, 1_000, "the minimum"],
    [undefined, 0, 1_000, "no underflow"],
    [700, 30, 700, "the explicit deadline wins"],
    [0, 30, 0, "explicitly at once"],
  ])("of %p and %p is %d: %s", (explicit, grace, expected) => {
    expect(drainDeadlineMs(explicit, grace)).toBe(expected);
  });
});

describe("within", () => {
  it("tells whether the work ended in time, failures included", async () => {
    expect(await within(Promise.resolve(), 1000)).toBe(true);
    expect(await within(Promise.reject(new Error("x")), 1000)).toBe(true);
    expect(await within(new Promise(() => {}), 5)).toBe(false);
  });
});

describe("Readiness", () => {
  it("is ready when no task is pending, and can be lost again", () => {
    const readiness = new Readiness();
    let changes = 0;
    readiness.onChange(() => changes++);
    const state = readiness.task("state manager");
    const manager = readiness.task("workload proxy manager");
    readiness.task("proxy", false);
    expect(readiness.pending()).toEqual(["state manager", "workload proxy manager"]);
    state.done();
    state.done();
    manager.done();
    expect(readiness.isReady()).toBe(true);
    manager.undone();
    expect(readiness.pending()).toEqual(["workload proxy manager"]);
    expect(changes).toBe(5);
  });
});

describe("createShutdown", () => {
  it("exits at once on the second SIGINT, and not before", async () => {
    const signals = new EventEmitter();
    let exits = 0;
    const shutdown = createShutdown(signals, () => exits++);
    signals.emit("SIGINT");
    expect(await shutdown.requested).toBe("SIGINT");
    expect(exits).toBe(0);
    signals.emit("SIGINT");
    expect(exits).toBe(1);
    shutdown.dispose();
    expect(signals.listenerCount("SIGTERM")).toBe(0);
  });

  it("takes SIGTERM and a request in the same way, the first cause counts", async () => {
    const signals = new EventEmitter();
    const shutdown = createShutdown(signals, () => {});
    shutdown.request("quitquitquit");
    signals.emit("SIGTERM");
    expect(await shutdown.requested).toBe("quitquitquit");
  });
});

describe("compactMemory", () => {
  it("collects what is no longer used, and then tells the C library", async () => {
    let kept: object | undefined = { big: new Array(1_000).fill(0) };
    const ref = new WeakRef(kept);
    kept = undefined;
    await new Promise((resolve) => setImmediate(resolve));
    let collectedBefore = false;
    compactMemory({
      returnFreeMemory: () => {
        collectedBefore = ref.deref() === undefined;
      },
    });
    expect(collectedBefore).toBe(true);
  });
});
