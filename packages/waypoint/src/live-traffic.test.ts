import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { type LiveTraffic, LiveTrafficSet } from "./live-traffic.ts";
import type { RouteModel } from "./model/route-model.ts";

const NO_MODEL = {} as RouteModel;

class Counted implements LiveTraffic {
  told = 0;
  reconsider(): void {
    this.told++;
  }
  cut(): void {}
  report(): void {}
}

describe("LiveTrafficSet", () => {
  it("tells exactly those that have not left, whoever leaves when", () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), (steps) => {
        const set = new LiveTrafficSet();
        const here: { readonly traffic: Counted; leave(): void }[] = [];
        const gone: Counted[] = [];
        for (const step of steps) {
          // Two in three come, one in three leaves, each from any place.
          const leaving = step % 3 === 0 ? here.splice(step % Math.max(1, here.length), 1)[0] : undefined;
          if (leaving) {
            leaving.leave();
            gone.push(leaving.traffic);
          } else {
            const traffic = new Counted();
            here.push({ traffic, leave: set.add(traffic) });
          }
        }
        set.modelChanged(NO_MODEL);
        expect(set.size).toBe(here.length);
        expect(here.every(({ traffic }) => traffic.told === 1)).toBe(true);
        expect(gone.every(({ told }) => told === 0)).toBe(true);
      }),
    );
  });

  it("tells everybody once when some leave because they are told", () => {
    const set = new LiveTrafficSet();
    const traffic = Array.from({ length: 5 }, () => new Counted());
    const leaves: (() => void)[] = [];
    for (const [index, one] of traffic.entries()) {
      const reconsider = (): void => {
        one.reconsider();
        leaves[index]?.();
      };
      leaves.push(set.add({ reconsider, cut: () => {}, report: () => {} }));
    }
    set.modelChanged(NO_MODEL);
    expect(traffic.map(({ told }) => told)).toEqual([1, 1, 1, 1, 1]);
    expect(set.size).toBe(0);
    for (const leave of leaves) leave();
    expect(set.size).toBe(0);
  });
});
