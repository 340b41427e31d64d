/** The waypoint's program as a process. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, describe, expect, it } from "@jest/globals";
import { configVariables } from "../src/config/index.ts";
import { Cleanup } from "./transport-fixtures.ts";

const PROGRAM = fileURLToPath(new URL("../src/main.ts", import.meta.url));
/** An address of this process's own; the ports are fixed. */
const IP = `127.${160 + (process.pid % 60)}.${(process.pid >> 6) % 256}.7`;
const NEEDED = {
  POD_NAME: "waypoint-1",
  POD_NAMESPACE: "shop",
  SERVICE_ACCOUNT: "waypoint",
  INSTANCE_IP: IP,
  AMBIT_LISTEN_IP: IP,
};
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

function run(args: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, ["--conditions=@ambit/source", PROGRAM, ...args], { env, stdio: "pipe" });
  cleanup.add(() => child.kill("SIGKILL"));
  const result = { output: "", child, ended: once(child, "close").then(([code]) => code as number) };
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (result.output += String(chunk)));
  return result;
}

/** The readiness endpoint of a program, once it listens; a program that ended is reported with what it said. */
function answering(program: ReturnType<typeof run>): Promise<Response> {
  return Promise.race([
    eventually("the program listens", () => fetch(`http://${IP}:15021/healthz/ready`), 60_000),
    program.ended.then((code): never => {
      throw new Error(`the program ended with ${code}: ${program.output}`);
    }),
  ]);
}

describe("the waypoint's program", () => {
  it("ends with 64 and says all mistakes", async () => {
    const program = run(["prox"], { AMBIT_X: "1" });
    expect(await program.ended).toBe(64);
    for (const name of ["prox", "POD_NAME", "POD_NAMESPACE", "SERVICE_ACCOUNT", "INSTANCE_IP", "AMBIT_X"])
      expect(program.output).toContain(name);
  });

  it("prints help and version without a configuration", async () => {
    const [help, version] = [run(["help"], {}), run(["version"], {})];
    expect([await help.ended, await version.ended]).toEqual([0, 0]);
    expect(help.output).toContain("usage: waypoint");
    expect(version.output).toMatch(/^waypoint \d/);
  });

  it("runs without a control plane, not ready, and ends with 0 on SIGTERM", async () => {
    const program = run([], NEEDED);
    const answer = await answering(program);
    expect(await answer.text()).toBe("not ready, pending: addresses, certificate, clusters, endpoints, listeners\n");
    expect((await fetch(`http://${IP}:15000/config_dump`)).status).toBe(200);
    program.child.kill("SIGTERM");
    expect(await program.ended).toBe(0);
    expect(program.output).toContain("done");
  });

  it("ends with 69 when a port is taken", async () => {
    const first = run([], NEEDED);
    await answering(first);
    const second = run([], NEEDED);
    expect(await second.ended).toBe(69);
    expect(second.output).toContain("cannot listen");
    first.child.kill("SIGTERM");
    await first.ended;
  });
});

describe("docs/configuration.md", () => {
  it("lists every variable the waypoint reads, and no other", () => {
    const text = readFileSync(new URL("../../../docs/configuration.md", import.meta.url), "utf8");
    const [, rest = ""] = text.split("\n## Waypoint\n");
    const rows = (rest.split(/\n## /)[0] ?? "").split("\n").filter((line) => line.startsWith("| `"));
    const listed = rows.flatMap((line) =>
      [...(line.split("|")[1] ?? "").matchAll(/`([^`]+)`/g)].map((match) => match[1]),
    );
    expect(listed.sort()).toEqual([...configVariables()].sort());
  });
});
