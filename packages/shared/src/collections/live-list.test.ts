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

  it("keeps nothing that has left alive until the next full collection", async () => {
    const list = new LiveList<object>();
    const kept = await aliveAfterMinorCollections((value) => {
      const member = list.add(value);
      return () => member.leave();
    });
    // A Set keeps more than a quarter of them, and a Map one in twenty.
    expect(kept).toBeLessThanOrEqual(2 * AT_ONCE);
  });
});

const MEMBERS = 4000;
const AT_ONCE = 50;

/** How many of many short-lived members the young generation's collections leave in memory. */
async function aliveAfterMinorCollections(add: (value: object) => () => void): Promise<number> {
  const collectYoung = minorCollection();
  const refs: WeakRef<object>[] = [];
  const leave: (() => void)[] = [];
  const come = (index: number): void => {
    const value = { index };
    refs.push(new WeakRef(value));
    leave[index % AT_ONCE]?.();
    leave[index % AT_ONCE] = add(value);
  };
  for (let index = 0; index < MEMBERS; index++) {
    come(index);
    if (index % AT_ONCE === AT_ONCE - 1) {
      // A WeakRef keeps its target until the end of the turn.
      await new Promise(setImmediate);
      collectYoung();
    }
  }
  await new Promise(setImmediate);
  collectYoung();
  return refs.filter((ref) => ref.deref() !== undefined).length;
}

function minorCollection(): () => void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("globalThis.gc");
  if (typeof collect !== "function") throw new Error("this Node has no gc()");
  return () => void collect({ type: "minor" });
}
