import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { BREAKER_RESOURCES, CircuitBreaker } from "./circuit-breaker.ts";
import { NO_BREAKERS } from "./test-cluster.ts";

const LIMITED = {
  ...NO_BREAKERS,
  maximumConnections: 2,
  maximumPendingRequests: 0,
  maximumRequests: 3,
  maximumRetries: 1,
};

describe("CircuitBreaker", () => {
  it("admits up to each limit by itself and counts what it refuses", () => {
    const breaker = new CircuitBreaker(LIMITED);
    const admitted = BREAKER_RESOURCES.map((resource) => {
      let count = 0;
      while (breaker.tryAcquire(resource)) count += 1;
      return count;
    });
    expect(admitted).toEqual([2, 0, 3, 1]);
    expect(breaker.state("requests")).toEqual({ active: 3, limit: 3, refused: 1, open: true });
    breaker.release("requests");
    expect(breaker.state("requests").open).toBe(false);
  });

  it("is without limit where none is configured", () => {
    const breaker = new CircuitBreaker(NO_BREAKERS);
    for (let n = 0; n < 10_000; n += 1) expect(breaker.tryAcquire("requests")).toBe(true);
  });

  it("holds new limits for what comes, and keeps what is under way", () => {
    const breaker = new CircuitBreaker(NO_BREAKERS);
    breaker.occupy("requests");
    breaker.occupy("requests");
    breaker.configure({ ...NO_BREAKERS, maximumRequests: 1 });
    breaker.release("requests");
    expect(breaker.tryAcquire("requests")).toBe(false);
    breaker.release("requests");
    expect(breaker.tryAcquire("requests")).toBe(true);
  });

  it("never has more under way than its limit, nor less than nothing, whatever comes", () => {
    const step = fc.constantFrom("acquire", "release");
    fc.assert(
      fc.property(fc.nat(5), fc.array(step, { maxLength: 100 }), (limit, steps) => {
        const breaker = new CircuitBreaker({ ...NO_BREAKERS, maximumRequests: limit });
        for (const each of steps) {
          if (each === "acquire") breaker.tryAcquire("requests");
          else breaker.release("requests");
          const { active } = breaker.state("requests");
          expect(active >= 0 && active <= limit).toBe(true);
        }
      }),
    );
  });
});
