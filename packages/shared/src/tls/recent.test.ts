import { describe, expect, it } from "@jest/globals";
import { Recent } from "./recent.ts";

describe("Recent", () => {
  it("drops the entry that was unused for longest once it is full", () => {
    const recent = new Recent<string, number>(2);
    recent.set("a", 1);
    recent.set("b", 2);
    recent.get("a");
    recent.set("c", 3);
    expect([recent.get("a"), recent.get("b"), recent.get("c"), recent.size]).toEqual([1, undefined, 3, 2]);
  });

  it("replaces a value without dropping another", () => {
    const recent = new Recent<string, number>(2);
    recent.set("a", 1);
    recent.set("b", 2);
    recent.set("a", 3);
    expect([recent.get("a"), recent.get("b")]).toEqual([3, 2]);
  });
});
