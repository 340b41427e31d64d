import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { LiveList, type LiveMember } from "./live-list.ts";

describe("LiveList", () => {
  it("has exactly those that have not left, in the order they came, whoever leaves when", () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), (steps) => {
        const list = new LiveList<number>();
        const here: LiveMember<number>[] = [];
        for (const [index, step] of steps.entries()) {
          // Two in three come, one in three leaves, each from any place.
          if (step % 3 > 0) here.push(list.add(index));
          else here.splice(step % Math.max(1, here.length), 1)[0]?.leave();
        }
        expect(list.values()).toEqual(here.map(({ value }) => value));
        expect(list.size).toBe(here.length);
        expect(list.oldest).toBe(here[0]?.value);
      }),
    );
  });

  it("lets members leave twice, and while somebody goes through them", () => {
    const list = new LiveList<string>();
    const members = ["a", "b", "c"].map((name) => list.add(name));
    const seen = list.members().map((member) => {
      members[1]?.leave();
      members[1]?.leave();
      return member.value;
    });
    expect(seen).toEqual(["a", undefined, "c"]);
    expect(list.values()).toEqual(["a", "c"]);
  });

  it("leaves no way from a member that has left to those that came after it", async () => {
    const list = new LiveList<object>();
    const kept = list.add({});
    const refs = comeAndGo(list, kept);
    // A WeakRef keeps its target until the end of the turn.
    await new Promise(setImmediate);
    fullCollection();
    expect(refs.filter((ref) => ref.deref() !== undefined)).toEqual([]);
    expect(kept.value).toBeUndefined();
  });
});

/** Members after `kept`, which all leave, it in their middle. */
function comeAndGo(list: LiveList<object>, kept: LiveMember<object>): WeakRef<object>[] {
  const members = Array.from({ length: 100 }, () => list.add({}));
  const refs = members.flatMap((member) => [new WeakRef(member), new WeakRef(member.value as object)]);
  for (const [index, member] of members.entries()) {
    if (index === 50) kept.leave();
    member.leave();
  }
  return refs;
}

function fullCollection(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("globalThis.gc");
  if (typeof collect !== "function") throw new Error("this Node has no gc()");
  collect({ type: "major" });
}
