import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { silentLogger } from "@ambit/shared/log";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { eventually } from "@ambit/testing/eventually";
import { temporaryFolder } from "@ambit/testing/files";
import { afterEach, describe, expect, it } from "@jest/globals";
import { Program } from "../src/supervise/program.ts";

const folder = temporaryFolder("program-test");
const SCRIPT = join(folder, "program.mjs");
// On a path, as nobody else can take it: says 200 once the file READY is there, and writes down who asked before.
writeFileSync(
  SCRIPT,
  `import { appendFileSync, existsSync, rmSync } from "node:fs";
  import { createServer } from "node:http";
  const { AT, READY, DIE, STUBBORN } = process.env;
  console.log("starts " + Date.now());
  rmSync(AT, { force: true });
  const isReady = () => READY === undefined || existsSync(READY);
  const server = createServer((q, s) => {
    if (!isReady()) appendFileSync(AT + ".asked", "x");
    s.writeHead(isReady() ? 200 : 503);
    s.end();
  });
  server.listen(AT);
  if (DIE) process.exit(3);
  process.on("SIGTERM", () => STUBBORN || process.exit(0));`,
);

const running: Program[] = [];
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop(200);
});

let programs = 0;
const at = (): string => join(folder, `${programs}.sock`);

function start(env: Record<string, string> = {}): Program {
  programs++;
  const path = at();
  const program = new Program({
    name: "test",
    argv: [process.execPath, SCRIPT],
    env: { AT: path, ...env },
    logFile: join(folder, `${programs}.log`),
    dialReadiness: () => connect(path),
    readyPath: "/ready",
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
  });
  running.push(program);
  program.start();
  return program;
}

/** When it was started, each time. */
const startsOf = (program: Program): number[] =>
  [...readFileSync(program.logFile, "utf8").matchAll(/starts (\d+)/g)].map(([, time]) => Number(time));

describe("Program", () => {
  it("is ready when it says so itself", async () => {
    const ready = join(folder, "ready");
    const program = start({ READY: ready });
    await eventually("it was asked", () => existsSync(`${at()}.asked`));
    expect(program.status).toMatchObject({ ready: false, restarts: 0 });
    writeFileSync(ready, "");
    await eventually("it is ready", () => program.status.ready);
  });

  it("case 58: comes back by itself after SIGKILL", async () => {
    const program = start();
    await eventually("it is ready", () => program.status.ready);
    const before = program.status.pid;
    process.kill(before, "SIGKILL");
    await eventually("it is ready again", () => program.status.ready && program.status.pid !== before);
    expect(program.status.restarts).toBe(1);
    expect(startsOf(program)).toHaveLength(2);
  });

  it("is started ever more slowly while it keeps failing", async () => {
    const program = start({ DIE: "yes" });
    await eventually("it has been started five times", () => startsOf(program).length === 5, 40_000);
    const starts = startsOf(program);
    const gaps = starts.slice(1).map((startedAt, index) => startedAt - (starts[index] ?? 0));
    // About 0.1, 0.2, 0.4 and 0.8 s less a tenth, and what it takes to end and to start again.
    for (const [index, gap] of gaps.entries()) expect(gap).toBeGreaterThanOrEqual(90 * 2 ** index - 20);
    expect(program.status.ready).toBe(false);
  });

  it("ends at SIGTERM, and by force when it does not", async () => {
    const polite = start();
    const stubborn = start({ STUBBORN: "yes" });
    await eventually("both are ready", () => polite.status.ready && stubborn.status.ready);
    const { pid } = stubborn.status;
    await Promise.all([polite.stop(30_000), stubborn.stop(300)]);
    expect(polite.status.pid).toBe(0);
    expect(() => process.kill(pid, 0)).toThrow();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(stubborn.status).toEqual({ pid: 0, ready: false, restarts: 0 });
  });
});
