import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually } from "@ambit/testing/eventually";
import { temporaryFolder } from "@ambit/testing/files";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

let dir: string;
let started: Running[];

beforeEach(() => {
  dir = temporaryFolder("cp-process");
  started = [];
});

afterEach(async () => {
  for (const { child } of started) child.kill("SIGKILL");
  await Promise.all(started.map(({ exit }) => exit()));
});

interface Running {
  readonly child: ChildProcess;
  output(): string;
  exit(): Promise<number | null>;
}

/** The program as the lab starts it, with nothing of our environment. */
function run(env: Record<string, string>, args: readonly string[] = []): Running {
  const child = spawn(process.execPath, ["--conditions=@ambit/source", MAIN, ...args], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  // Not "exit", which may come before the last of its output.
  const exited = once(child, "close").then(([code]) => code as number | null);
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (data: Buffer) => (output += data.toString()));
  const running = { child, output: () => output, exit: () => exited };
  started.push(running);
  return running;
}

const goodEnv = (): Record<string, string> => ({
  AMBIT_OBJECTS: `folder:${join(dir, "objects")}`,
  AMBIT_STATE_DIR: join(dir, "state"),
  AMBIT_JOIN_TOKENS: join(dir, "tokens.json"),
  AMBIT_LISTEN: "127.0.0.1:0",
  AMBIT_ADMIN: "127.0.0.1:0",
});

const serving = (running: Running): Promise<true> =>
  eventually(
    "it serves",
    () => {
      if (running.child.exitCode !== null) throw new Error(running.output());
      return running.output().includes("serving");
    },
    40_000,
  );

describe("the control-plane process", () => {
  it("ends with status 64 and every mistake of its environment and arguments", async () => {
    const running = run({ AMBIT_OBJECTS: "/objects", AMBIT_LISTEN: "everywhere", AMBIT_LISTN: "x" }, ["--verbose"]);
    expect(await running.exit()).toBe(64);
    for (const name of [
      "--verbose",
      "AMBIT_OBJECTS",
      "AMBIT_LISTEN",
      "AMBIT_STATE_DIR",
      "AMBIT_JOIN_TOKENS",
      "AMBIT_LISTN",
    ]) {
      expect(running.output()).toContain(name);
    }
  });

  it("keeps its root over kill -9 and ends with status 0 on SIGTERM", async () => {
    await mkdir(join(dir, "objects"));
    await writeFile(join(dir, "tokens.json"), '{"nodes": {}}');
    const first = run(goodEnv());
    await serving(first);
    const root = await readFile(join(dir, "state", "root-cert.pem"), "utf8");
    first.child.kill("SIGKILL");
    await first.exit();
    const second = run(goodEnv());
    await serving(second);
    expect(await readFile(join(dir, "state", "root-cert.pem"), "utf8")).toBe(root);
    second.child.kill("SIGTERM");
    expect(await second.exit()).toBe(0);
  });

  it("waits for a folder of objects that is not there, says so, and still ends when told to", async () => {
    await writeFile(join(dir, "tokens.json"), '{"nodes": {}}');
    const running = run(goodEnv());
    await eventually("it says so", () => running.output().includes("KUBE_SOURCE_UNREADABLE"), 40_000);
    expect(running.output()).not.toContain("serving");
    running.child.kill("SIGTERM");
    expect(await running.exit()).toBe(0);
  });

  it("starts serving once the folder appears", async () => {
    await writeFile(join(dir, "tokens.json"), '{"nodes": {}}');
    const running = run(goodEnv());
    await eventually("it waits", () => running.output().includes("KUBE_SOURCE_UNREADABLE"), 40_000);
    await mkdir(join(dir, "objects"));
    await serving(running);
  });

  it("ends with status 69 when its port is taken", async () => {
    await mkdir(join(dir, "objects"));
    const first = run(goodEnv());
    await serving(first);
    const port = /serving.*?127\.0\.0\.1:(\d+)/.exec(first.output())?.[1];
    const second = run({ ...goodEnv(), AMBIT_LISTEN: `127.0.0.1:${port}` });
    expect(await second.exit()).toBe(69);
    expect(second.output()).toContain("cannot listen");
  });
});
