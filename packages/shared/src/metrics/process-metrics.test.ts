import { describe, expect, it } from "@jest/globals";
import { createRegistry, registerProcessMetrics } from "./index.ts";

describe("the event loop's lag", () => {
  const registry = createRegistry();
  registerProcessMetrics(registry);
  /** Seconds, since the last scrape. */
  const lag = async (): Promise<number> =>
    Number(/^ambit_control_thread_lag_seconds (\S+)$/m.exec(await registry.scrape())?.[1]);

  it("is how long the thread was busy", async () => {
    await lag();
    const end = performance.now() + 500;
    while (performance.now() < end);
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(await lag()).toBeGreaterThan(0.35);
  });

  it("is next to nothing when it is idle", async () => {
    // Some half second of many is, however busy the machine.
    let least = await lag();
    for (let round = 0; round < 25 && !(least < 0.01); round++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      least = await lag();
    }
    expect(least).toBeLessThan(0.01);
  });
});
