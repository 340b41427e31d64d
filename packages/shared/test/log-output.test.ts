import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";

const LOG_MODULE = new URL("../src/log/index.ts", import.meta.url).href;

/** Runs a program that logs `lines` lines and then tells on stderr how it went; nobody reads its stdout unless `read`. */
async function runLogger(lines: number, stdout: "pipe" | number, read: boolean) {
  const flushMs = read ? 30_000 : 300;
  const program = `
    const { createLogSystem } = await import(${JSON.stringify(LOG_MODULE)});
    const system = createLogSystem({ format: "json", levels: { fallback: "info", scopes: {} } });
    const log = system.scope("t");
    const start = performance.now();
    for (let i = 0; i < ${lines}; i++) log.info("line " + "x".repeat(200), { i });
    const tookMs = performance.now() - start;
    await system.flush(${flushMs});
    console.error(JSON.stringify({ tookMs, dropped: system.dropped() }));
    process.exit(0);`;
  const child = spawn(process.execPath, ["--conditions=@ambit/source", "--input-type=module", "-e", program], {
    stdio: ["ignore", stdout, "pipe"],
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  let out = "";
  let errors = "";
  if (read) child.stdout?.on("data", (chunk) => (out += String(chunk)));
  child.stderr?.on("data", (chunk) => (errors += String(chunk)));
  // The end of the process may come before the last of what it said; what nobody reads never ends.
  const said = [child.stderr, ...(read ? [child.stdout] : [])].flatMap((stream) =>
    stream ? [once(stream, "end")] : [],
  );
  const [[code]] = await Promise.all([once(child, "exit"), ...said]);
  return { code, out, errors, result: () => JSON.parse(errors) as { tookMs: number; dropped: number } };
}

describe("log output of a process", () => {
  it("does not wait for a reader that never reads, drops lines and still exits", async () => {
    const { code, result } = await runLogger(40_000, "pipe", false);
    expect(code).toBe(0);
    expect(result().dropped).toBeGreaterThan(10_000);
    expect(result().tookMs).toBeLessThan(30_000);
  });

  it("delivers everything in order to a reader that reads", async () => {
    const { out, result } = await runLogger(2_000, "pipe", true);
    expect(result().dropped).toBe(0);
    const numbers = out
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { i: number }).i);
    expect(numbers).toEqual(Array.from({ length: 2_000 }, (_, i) => i));
  });

  it("case 60: a full disk loses log lines, counts them and harms nothing else", async () => {
    const { code, result } = await runLogger(100, openSync("/dev/full", "w"), false);
    expect(code).toBe(0);
    expect(result().dropped).toBe(100);
  });

  it("writes to a file", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ambit-log-"));
    const file = join(folder, "out");
    await runLogger(500, openSync(file, "w"), false);
    expect(readFileSync(file, "utf8").trim().split("\n")).toHaveLength(500);
    await rm(folder, { recursive: true });
  });
});
