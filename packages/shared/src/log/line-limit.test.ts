import { describe, expect, it } from "@jest/globals";
import { ManualClock } from "../../test/manual-clock.ts";
import { LineLimit } from "./line-limit.ts";

describe("LineLimit", () => {
  it("lets so many through a second, and the next one say how many it kept back", () => {
    const clock = new ManualClock();
    const limit = new LineLimit(clock, 2);
    expect([1, 2, 3, 4, 5].map(() => limit.next())).toEqual([0, 0, undefined, undefined, undefined]);
    clock.advance(999);
    expect(limit.next()).toBeUndefined();
    clock.advance(1);
    expect([1, 2, 3].map(() => limit.next())).toEqual([4, 0, undefined]);
  });
});
