import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ipOf } from "@ambit/shared/net";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { temporaryFolder } from "@ambit/testing/files";
import { describe, expect, it } from "@jest/globals";
import { type Container, parseContainers } from "../cluster/container.ts";
import type { Sandbox } from "../network/machine.ts";
import { ContainerRunner } from "./container-runner.ts";

const SANDBOX: Sandbox = {
  prefix: [],
  execPrefix: [],
  env: () => ({}),
  mainProcessOf: (pid) => pid,
  destroy: async () => {},
};

/** A container that says "ready" once it listens for SIGTERM, and "term" when that came. */
async function run(lifecycle: object, onTerm = "echo term; exit 0"): Promise<{ runner: ContainerRunner; log: string }> {
  const folder = temporaryFolder("container");
  const log = join(folder, "log");
  const command = ["sh", "-c", `trap '${onTerm}' TERM; echo ready; while :; do sleep 0.02; done`];
  const [container] = parseContainers([{ name: "c", command, lifecycle }]) as [Container];
  const env = { PATH: process.env["PATH"] ?? "", LOG: log };
  const dial = (): never => {
    throw new Error("there is nothing to dial");
  };
  const runner = new ContainerRunner({
    container,
    sandbox: SANDBOX,
    env,
    logFile: log,
    restartPolicy: "Always",
    target: { container, podIp: ipOf("127.0.0.1"), dial, prefix: [], env },
    clock: systemClock,
    random: systemRandom,
    onChange: () => {},
  });
  runner.start();
  while (!(existsSync(log) && readFileSync(log, "utf8").includes("ready"))) await pause(10);
  return { runner, log };
}

const pause = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs));

async function stopTime(runner: ContainerRunner, graceMs: number): Promise<number> {
  const startedAt = performance.now();
  await runner.stop(graceMs);
  return performance.now() - startedAt;
}

describe("the end of a container", () => {
  it("comes after the preStop wait, during which it runs on", async () => {
    const { runner, log } = await run({ preStop: { sleep: { seconds: 1 } } }, "date +term=%s%3N; exit 0");
    const startedAt = Date.now();
    const stopping = runner.stop(10_000);
    expect(runner.ready).toBe(false);
    await stopping;
    const termAt = Number(/term=(\d+)/.exec(readFileSync(log, "utf8"))?.[1]);
    expect(termAt - startedAt).toBeGreaterThanOrEqual(990);
  });

  it("comes after the preStop command", async () => {
    const { runner, log } = await run({ preStop: { exec: { command: ["sh", "-c", 'echo hook >>"$LOG"'] } } });
    await runner.stop(10_000);
    expect(readFileSync(log, "utf8")).toMatch(/hook[\s\S]*term/);
  });

  it("comes at once without a hook, and without a grace period in spite of one", async () => {
    expect(await stopTime((await run({})).runner, 30_000)).toBeLessThan(8_000);
    const { runner } = await run({ preStop: { sleep: { seconds: 30 } } });
    expect(await stopTime(runner, 0)).toBeLessThan(8_000);
  });

  it("comes by force when the grace period is over", async () => {
    const { runner } = await run({}, "echo ignored");
    expect(await stopTime(runner, 2_100)).toBeGreaterThanOrEqual(2_000);
    expect(runner.pid).toBe(0);
  });

  it("does not wait for a hook once the container has ended by itself", async () => {
    const { runner } = await run({ preStop: { sleep: { seconds: 30 } } });
    const stopping = stopTime(runner, 60_000);
    process.kill(runner.pid, "SIGKILL");
    expect(await stopping).toBeLessThan(8_000);
  });
});
