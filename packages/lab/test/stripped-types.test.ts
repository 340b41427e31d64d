import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { programPath } from "@ambit/shared/lab-client";
import { temporaryFolder } from "@ambit/testing/files";
import { beforeEach, describe, expect, it } from "@jest/globals";

describe("sources stripped beside the programs", () => {
  let root: string;
  const entries = () => join(root, ".ambit/stripped", process.version);

  beforeEach(() => {
    root = temporaryFolder("stripped");
    cpSync(programPath("scripts/stripped-types"), join(root, "scripts/stripped-types"), { recursive: true });
    mkdirSync(join(root, "packages/one"), { recursive: true });
    writeFileSync(join(root, "package.json"), '{"type":"module"}');
  });

  /** Runs `text` as a source of the checkout, with the hook and without Node's own stripper unless that is wanted. */
  function run(text: string, ...flags: string[]) {
    const file = join(root, "packages/one/main.ts");
    writeFileSync(file, text);
    const hook = `--import=${join(root, "scripts/stripped-types/register.mjs")}`;
    return spawnSync(process.execPath, [hook, ...flags, file], { encoding: "utf8", env: {} });
  }

  it("run where Node itself may not strip", () => {
    const { stdout, stderr } = run("const n: number = 7; console.log(n);", "--no-strip-types");
    expect({ stdout, stderr }).toEqual({ stdout: "7\n", stderr: "" });
  });

  it("run in worker threads too", () => {
    const text = `import { isMainThread, Worker, threadId } from "node:worker_threads";
      const id: number = threadId;
      if (isMainThread) new Worker(new URL(import.meta.url), { env: {} });
      else console.log("thread", id);`;
    expect(run(text, "--no-strip-types").stdout).toBe("thread 1\n");
  });

  it("are never old: a changed source runs as changed, and the entry of the old text goes", () => {
    run("console.log(1 as number);");
    expect(run("console.log(2 as number);").stdout).toBe("2\n");
    const kept = readdirSync(entries()).map((name) => readFileSync(join(entries(), name), "utf8"));
    expect(kept.map((text) => text.replace(/ +/g, ""))).toEqual(["console.log(2);"]);
  });

  it("keep lines and columns", () => {
    const { stderr } = run("const n: number = 7;\nthrow new Error(String(n));");
    expect(stderr).toMatch(/main\.ts:2:7/);
  });

  it("are stripped by Node when nothing can be written", () => {
    writeFileSync(join(root, ".ambit"), "a file, so no folder");
    expect(run("console.log(3 as number);").stdout).toBe("3\n");
  });

  it("with a mistake end in Node's own message", () => {
    const { status, stderr } = run("const n: = 7;");
    expect(status).toBe(1);
    expect(stderr).toMatch(/SyntaxError/);
  });
});
