import { describe, expect, it } from "@jest/globals";
import type { Clock } from "../../time/index.ts";
import { Keepalive } from "./keepalive.ts";

/** A clock moved by hand; tasks run in time order. */
class ManualClock implements Clock {
  #now = 0;
  #tasks: { at: number; task: () => void }[] = [];
  now = (): number => this.#now;
  monotonic = (): number => this.#now;
  after(delayMs: number, task: () => void): () => void {
    const entry = { at: this.#now + delayMs, task };
    this.#tasks.push(entry);
    return () => {
      this.#tasks = this.#tasks.filter((other) => other !== entry);
    };
  }
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const next = this.#tasks.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#tasks = this.#tasks.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.task();
    }
    this.#now = until;
  }
  get pending(): number {
    return this.#tasks.length;
  }
}

function setUp(intervalMs = 1000) {
  const clock = new ManualClock();
  const seen = { pings: 0, silent: 0 };
  const keepalive = new Keepalive(clock, {
    intervalMs,
    timeoutMs: 500,
    sendPing: () => seen.pings++,
    onSilent: () => seen.silent++,
  });
  return { clock, seen, keepalive };
}

describe("keepalive", () => {
  it("pings after silence and gives up without an answer", () => {
    const { clock, seen } = setUp();
    clock.advance(1000);
    expect(seen).toEqual({ pings: 1, silent: 0 });
    clock.advance(600);
    expect(seen).toEqual({ pings: 1, silent: 1 });
    expect(clock.pending).toBe(0);
  });

  it("never pings a busy session: any frame resets the time", () => {
    const { clock, seen, keepalive } = setUp();
    for (let at = 0; at < 20_000; at += 900) {
      clock.advance(900);
      keepalive.touch();
    }
    expect(seen.pings).toBe(0);
  });

  it("takes any frame as an answer, even one that came at the last moment", () => {
    const { clock, seen, keepalive } = setUp();
    clock.advance(1000);
    clock.advance(550);
    keepalive.touch();
    clock.advance(900);
    expect(seen).toEqual({ pings: 1, silent: 0 });
    clock.advance(200);
    expect(seen.pings).toBe(2);
  });

  it("is off with an interval of 0, and stops when told", () => {
    const off = setUp(0);
    off.clock.advance(1e6);
    expect(off.seen.pings).toBe(0);
    const stopped = setUp();
    stopped.keepalive.stop();
    stopped.clock.advance(1e6);
    expect(stopped.seen.pings).toBe(0);
  });
});
