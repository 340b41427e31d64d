import { describe, expect, it } from "@jest/globals";
import { coalesce } from "./coalesce.ts";

describe("coalesce", () => {
  it("makes one run of many requests, never two at once, and one more for those that came meanwhile", async () => {
    let runs = 0;
    let atOnce = 0;
    let most = 0;
    const work = coalesce(
      async () => {
        runs++;
        most = Math.max(most, ++atOnce);
        if (runs === 1) for (let n = 0; n < 5; n++) work.request();
        await new Promise((resolve) => setImmediate(resolve));
        atOnce--;
      },
      () => {},
    );
    for (let n = 0; n < 10; n++) work.request();
    await work.settled();
    expect({ runs, most }).toEqual({ runs: 2, most: 1 });
  });

  it("reports a failure and runs again at the next request", async () => {
    const failures: unknown[] = [];
    let runs = 0;
    const work = coalesce(
      async () => {
        if (++runs === 1) throw new Error("first");
      },
      (error) => failures.push(error),
    );
    work.request();
    await work.settled();
    work.request();
    await work.settled();
    expect(runs).toBe(2);
    expect(failures).toHaveLength(1);
  });
});
