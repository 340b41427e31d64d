import { describe, expect, it } from "@jest/globals";
import { RecentEntries } from "./recent-entries.ts";

describe("RecentEntries", () => {
  it("gives up what was unused for longest", () => {
    const entries = new RecentEntries<number>(2);
    entries.set("a", 1);
    entries.set("b", 2);
    expect(entries.get("a")).toBe(1);
    entries.set("c", 3);
    expect([entries.get("a"), entries.get("b"), entries.get("c")]).toEqual([1, undefined, 3]);
    entries.set("c", 4);
    expect([entries.get("a"), entries.get("c")]).toEqual([1, 4]);
  });
});
