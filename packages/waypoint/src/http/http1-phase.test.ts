import { describe, expect, it } from "@jest/globals";
import { endOfInput, isAmbiguousAfter, isWorthDiscarding, MAX_DISCARDED_BYTES, type Phase } from "./http1-phase.ts";

describe("the end of a client's input", () => {
  it.each<[Phase, { headStarted?: boolean; bodyDone?: boolean }, string]>([
    ["head", {}, "idle"],
    ["head", { headStarted: true }, "cut"],
    ["body", {}, "cut"],
    ["body", { bodyDone: true }, "complete"],
    ["answering", {}, "complete"],
    ["discard", {}, "idle"],
  ])("in phase %s with %j is %s", (phase, over, meaning) => {
    expect(endOfInput({ phase, headStarted: false, bodyDone: false, ...over })).toBe(meaning);
  });
});

describe("what may follow an answer", () => {
  const plain = { head: { expectsContinue: false }, continued: false, bodySeen: false };
  const expecting = { ...plain, head: { expectsContinue: true } };
  it.each([
    ["a plain request", plain, "answering", false],
    ["one that waits for 100", expecting, "body", true],
    ["one that got its 100", { ...expecting, continued: true }, "body", false],
    ["one that did not wait", { ...expecting, bodySeen: true }, "body", false],
    ["one that is complete", expecting, "answering", false],
    ["an upgrade that was refused", { ...plain, head: { expectsContinue: false, upgrade: "websocket" } }, "body", true],
  ] as const)("after %s", (_what, exchange, phase, isAmbiguous) => {
    expect(isAmbiguousAfter(exchange, phase)).toBe(isAmbiguous);
  });

  it("is read only behind a body that is short, or may be", () => {
    const lengths = [0, MAX_DISCARDED_BYTES, MAX_DISCARDED_BYTES + 1, undefined];
    expect(lengths.map(isWorthDiscarding)).toEqual([true, true, false, true]);
  });
});
