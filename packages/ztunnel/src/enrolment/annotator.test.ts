import type { ObjectKey } from "@ambit/shared/kube";
import { silentLogger } from "@ambit/shared/log";
import { describe, expect, it } from "@jest/globals";
import { Annotator } from "./annotator.ts";

const KEY = "Pod/shop/web" as ObjectKey;

/** A source whose writes are let through one by one, and a clock that only notes what it was asked for. */
function setup() {
  const writes: unknown[] = [];
  const gates: ((error?: Error) => void)[] = [];
  const delays: number[] = [];
  const annotator = new Annotator({
    source: {
      patch(_, owner, patch) {
        writes.push([owner, patch]);
        return new Promise((resolve, reject) => gates.push((error) => (error ? reject(error) : resolve())));
      },
    },
    clock: {
      now: () => 0,
      monotonic: () => 0,
      after(delayMs, task) {
        delays.push(delayMs);
        setImmediate(task);
        return () => undefined;
      },
    },
    random: () => 0.5,
    log: silentLogger,
  });
  const next = async (error?: Error): Promise<void> => {
    gates.shift()?.(error);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
  };
  return { annotator, writes, delays, next };
}
const written = (value: string | null) => [
  "ztunnel",
  { metadata: { annotations: { "ambient.istio.io/redirection": value } } },
];

describe("Annotator", () => {
  it("skips values that were overtaken while a write was under way", async () => {
    const { annotator, writes, next } = setup();
    annotator.write(KEY, "pending");
    annotator.write(KEY, "enabled");
    annotator.write(KEY, null);
    const done = annotator.written(KEY);
    await next();
    await next();
    await done;
    expect(writes).toEqual([written("pending"), written(null)]);
  });

  it("repeats a failed write with growing delays until it is taken", async () => {
    const { annotator, writes, delays, next } = setup();
    annotator.write(KEY, "enabled");
    await next(new Error("away"));
    await next(new Error("away"));
    await next();
    expect(writes).toHaveLength(3);
    expect(delays).toEqual([100, 200]);
  });

  it("takes our patch off a pod that no longer exists", async () => {
    const { annotator, writes, next } = setup();
    annotator.write(KEY, "drop");
    await next();
    expect(writes).toEqual([["ztunnel", undefined]]);
  });

  it("does not begin another attempt after it was stopped", async () => {
    const { annotator, writes, next } = setup();
    annotator.write(KEY, "enabled");
    const stopped = annotator.stop();
    await next(new Error("away"));
    await stopped;
    expect(writes).toHaveLength(1);
  });
});
