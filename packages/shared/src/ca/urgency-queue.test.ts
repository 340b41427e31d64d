import { describe, expect, it } from "@jest/globals";
import { UrgencyQueue } from "./urgency-queue.ts";

describe("UrgencyQueue", () => {
  it("gives the most urgent first, and the first added among equals", () => {
    const queue = new UrgencyQueue<string>();
    queue.add("renew", "background");
    queue.add("warm-1", "warm");
    queue.add("warm-2", "warm");
    queue.add("now", "demand");
    expect([queue.take(), queue.take(), queue.take(), queue.take(), queue.take()]).toEqual([
      "now",
      "warm-1",
      "warm-2",
      "renew",
      undefined,
    ]);
  });

  it("holds an item once and only ever makes it more urgent", () => {
    const queue = new UrgencyQueue<string>();
    queue.add("a", "warm");
    queue.add("b", "warm");
    queue.add("b", "demand");
    queue.add("b", "background");
    expect([queue.take(), queue.take(), queue.take()]).toEqual(["b", "a", undefined]);
  });

  it("forgets removed items", () => {
    const queue = new UrgencyQueue<string>();
    queue.add("a", "warm");
    queue.remove("a");
    expect([queue.has("a"), queue.take()]).toEqual([false, undefined]);
  });
});
