import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { FRAME_HEADER_BYTES } from "../api.ts";
import { MAX_WINDOW_BYTES } from "../frames/frame-type.ts";
import { FloodGuard, FrameCount } from "./flood-guard.ts";
import { ReceiveWindow, SendWindow } from "./flow-window.ts";
import { SendQueue } from "./send-queue.ts";
import { applySettings, initialPeerSettings } from "./settings.ts";

describe("windows", () => {
  it("lose no credit: available, owed and held always add up to the size", () => {
    const action = fc.record({ take: fc.nat(5000), give: fc.nat(5000) });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), fc.array(action), (size, actions) => {
        const window = new ReceiveWindow(size);
        let held = 0;
        for (const { take, give } of actions) {
          if (window.take(take)) held += take;
          const returned = Math.min(give, held);
          held -= returned;
          const increment = window.give(returned);
          expect(increment).toBeGreaterThanOrEqual(0);
          expect(window.available + window.owed + held).toBe(size);
        }
      }),
    );
  });

  it("never stall: when the owner has consumed everything, at least half the window is open", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 100_000 }), fc.array(fc.nat(5000)), (size, chunks) => {
        const window = new ReceiveWindow(size);
        for (const chunk of chunks) if (window.take(chunk)) window.give(chunk);
        expect(window.available).toBeGreaterThanOrEqual(Math.floor(size / 2));
      }),
    );
  });

  it("case 20: never pass 2^31-1", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: MAX_WINDOW_BYTES })), (increments) => {
        const window = new SendWindow(65_535);
        for (const increment of increments) {
          const before = window.available;
          const grown = window.grow(increment);
          expect(grown).toBe(before + increment <= MAX_WINDOW_BYTES);
          expect(window.available).toBe(grown ? before + increment : before);
        }
      }),
    );
  });
});

describe("the send queue", () => {
  it("gives back every byte once, in order, however it is cut", () => {
    const payloads = fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 100 });
    fc.assert(
      fc.property(payloads, fc.integer({ min: 1, max: 60 }), (all, step) => {
        const queue = new SendQueue();
        for (const payload of all) queue.push(Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), payload]));
        const out: Buffer[] = [];
        for (let item = queue.peek(); item instanceof Buffer; item = queue.peek()) {
          const start = FRAME_HEADER_BYTES + queue.headSent;
          const bytes = Math.min(step, item.length - start);
          out.push(item.subarray(start, start + bytes));
          queue.advance(bytes);
        }
        expect(Buffer.concat(out)).toEqual(Buffer.concat(all));
        expect([queue.bytes, queue.length]).toEqual([0, 0]);
      }),
    );
  });
});

describe("the flood guard", () => {
  it("counts within a window and forgets the last one", () => {
    const count = new FrameCount();
    expect([1, 2, 3].map(() => count.allow(0, 2, 100))).toEqual([true, true, false]);
    expect(count.allow(100, 2, 100)).toBe(true);
  });

  it("case 19: WINDOW_UPDATEs are free only as far as DATA justifies them", () => {
    const limits = { resets: 1, controlFrames: 3, continuations: 1, tinyDataFrames: 1, windowMs: 1000 };
    const clock = { now: () => 0, monotonic: () => 0, after: () => () => {} };
    const guard = new FloodGuard(limits, clock);
    let accepted = 0;
    while (guard.windowUpdate()) accepted++;
    expect(accepted).toBe(64 + 3);
    const busy = new FloodGuard(limits, clock);
    for (let frames = 0; frames < 1000; frames++) {
      busy.dataSent(1024);
      for (let updates = 0; updates < 5; updates++) expect(busy.windowUpdate()).toBe(true);
    }
  });

  it("case 19: PINGs are free only as far as DATA justifies them, and credit for them does not pile up", () => {
    const limits = { resets: 1, controlFrames: 3, continuations: 1, tinyDataFrames: 1, windowMs: 1000 };
    const guard = new FloodGuard(limits, { now: () => 0, monotonic: () => 0, after: () => () => {} });
    for (let frames = 0; frames < 1000; frames++) {
      guard.dataSent(10);
      expect(guard.ping()).toBe(true);
    }
    for (let frames = 0; frames < 1000; frames++) guard.dataSent(10);
    let accepted = 0;
    while (guard.ping()) accepted++;
    expect(accepted).toBe(3 + 3);
  });
});

describe("SETTINGS of the peer", () => {
  it("take effect in order and ignore what is unknown", () => {
    const applied = applySettings(
      initialPeerSettings,
      [
        [3, 10],
        [3, 20],
        [4, 100],
        [5, 20_000],
        [99, 7],
        [1, 0],
        [8, 1],
      ],
      "server",
    );
    expect(applied).toEqual({
      ok: true,
      value: { maxConcurrentStreams: 20, initialWindowBytes: 100, maxFrameBytes: 20_000, takesConnectProtocol: true },
    });
  });

  it.each([
    ["push from a server", [2, 1], "server", 1],
    ["ENABLE_PUSH of 2", [2, 2], "client", 1],
    ["a window above 2^31-1", [4, 2 ** 31], "client", 3],
    ["a frame size below 16384", [5, 16_383], "client", 1],
    ["ENABLE_CONNECT_PROTOCOL of 2", [8, 2], "server", 1],
    ["a frame size above 2^24-1", [5, 2 ** 24], "client", 1],
  ] as const)("are refused with %s", (_, setting, peer, code) => {
    const applied = applySettings(initialPeerSettings, [setting], peer);
    expect(!applied.ok && applied.error.code).toBe(code);
  });
});
