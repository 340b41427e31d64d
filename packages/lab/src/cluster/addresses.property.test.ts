import { parseIp } from "@ambit/shared/net";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { IndexPool, loopbackPlan, namespacePlan, serviceIps } from "./addresses.ts";

describe("address plans", () => {
  it.each([
    ["namespaces", namespacePlan(true)],
    ["loopback", loopbackPlan(16)],
  ])("%s: every address is canonical and nobody else's", (_label, plan) => {
    const all = [...plan.wire];
    for (let node = 1; node <= Math.min(plan.maxNodes, 20); node++) {
      all.push(...plan.nodeIps(node));
      for (const pod of [2, 3, 100, 253]) all.push(...plan.podIps(node, pod));
    }
    expect(new Set(all).size).toBe(all.length);
    for (const ip of all) expect(parseIp(ip)).toEqual({ ok: true, value: ip });
  });

  it("gives services canonical addresses", () => {
    fc.assert(
      fc.property(fc.integer({ min: 256, max: 65_000 }), (index) => {
        const { v4, v6 } = serviceIps(index);
        expect(parseIp(v4)).toEqual({ ok: true, value: v4 });
        expect(parseIp(v6)).toEqual({ ok: true, value: v6 });
      }),
    );
  });
});

describe("IndexPool", () => {
  it("never gives one index twice, and does not hurry to give one again", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 200 }), (takes) => {
        const pool = new IndexPool(2, 9);
        const held: number[] = [];
        for (const take of takes) {
          if (take) {
            const index = pool.take();
            expect(index === undefined).toBe(held.length === 8);
            if (index !== undefined) {
              expect(held).not.toContain(index);
              held.push(index);
            }
          } else if (held.length > 0) pool.free(held.shift() as number);
        }
      }),
    );
    const pool = new IndexPool(1, 5);
    const first = pool.take() as number;
    pool.free(first);
    expect(pool.take()).not.toBe(first);
  });

  it("does not give what was claimed", () => {
    const pool = new IndexPool(1, 3);
    expect(pool.claim(1)).toBe(true);
    expect(pool.claim(1)).toBe(false);
    expect(pool.claim(4)).toBe(false);
    expect([pool.take(), pool.take(), pool.take()]).toEqual([2, 3, undefined]);
  });
});
