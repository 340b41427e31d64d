import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@ambit/shared/log";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { afterAll, afterEach, describe, expect, it } from "@jest/globals";
import { Program } from "../src/supervise/program.ts";
import { eventually } from "./lab-fixture.ts";

const folder = mkdtempSync(join(tmpdir(), "ambit-program-test-"));
const SCRIPT = join(folder, "program.mjs");
writeFileSync(
  SCRIPT,
  `import { createServer } from "node:http";
   console.log("starts");
   const ready = Date.now() + Number(process.env.READY_AFTER_MS ?? 0);
   const server = createServer((q, s) => { s.writeHead(Date.now() >= ready ? 200 : 503); s.end(); });
   server.listen(Number(process.env.PORT), "127.0.0.1");
   if (process.env.DIE) process.exit(3);
   process.on("SIGTERM", () => process.env.STUBBORN || process.exit(0));`,
);
const running: Program[] = [];
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop(200);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let port = 20_000 + (process.pid % 9_000);
function start(env: Record<string, string> = {}): Program {
  const at = ++port;
  const program = new Program({
    name: "test",
    argv: [process.execPath, SCRIPT],
    env: { PORT: String(at), ...env },
    logFile: join(folder, `${at}.log`),
    dialReadiness: () => connect(at, "127.0.0.1"),
    readyPath: "/ready",
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
  });
  running.push(program);
  program.start();
  return program;
}

describe("Program", () => {
  it("is ready when it says so itself", async () => {
    const program = start({ READY_AFTER_MS: "400" });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(program.status).toMatchObject({ ready: false, restarts: 0 });
    await eventually("it is ready", () => program.status.ready);
  });

  it("case 58: comes back by itself after SIGKILL", async () => {
    const program = start();
    await eventually("it is ready", () => program.status.ready);
    const before = program.status.pid;
    process.kill(before, "SIGKILL");
    await eventually("it is ready again", () => program.status.ready && program.status.pid !== before, 3_000);
    expect(program.status.restarts).toBe(1);
    expect(readFileSync(program.logFile, "utf8")).toBe("starts\nstarts\n");
  });

  it("is started ever more slowly while it keeps failing", async () => {
    const program = start({ DIE: "yes" });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    // At once, then after about 0.1, 0.2, 0.4, 0.8 s and its own start-up each time.
    expect(program.status.restarts).toBeGreaterThanOrEqual(2);
    expect(program.status.restarts).toBeLessThanOrEqual(4);
    expect(program.status.ready).toBe(false);
  });

  it("ends at SIGTERM, and by force when it does not", async () => {
    const polite = start();
    const stubborn = start({ STUBBORN: "yes" });
    await eventually("both are ready", () => polite.status.ready && stubborn.status.ready);
    const { pid } = stubborn.status;
    await Promise.all([polite.stop(5_000), stubborn.stop(300)]);
    expect(polite.status.pid).toBe(0);
    expect(() => process.kill(pid, 0)).toThrow();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(stubborn.status).toEqual({ pid: 0, ready: false, restarts: 0 });
  });
});
