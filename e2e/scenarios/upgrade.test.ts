import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";

const scenario = canRunLab ? describe : describe.skip;
const OWN_ADDRESS = "127.0.0.1";
const BESIDE_ADDRESS = "127.0.0.2";

interface Churn {
  readonly ok: number;
  readonly failed: number;
  readonly failures: readonly string[];
}

scenario("a ztunnel that gives way or runs short (needs root and network namespaces)", () => {
  // Two processes on one node can share the pods' ports (SO_REUSEPORT), not admin, metrics and readiness.
  const lab = useLab(
    ["e2e/manifests/pairs.yaml"],
    ["LOG_FORMAT=json", `AMBIT_LISTEN_IP=${OWN_ADDRESS}`, "CONNECTION_TERMINATION_DEADLINE=60s"],
  );
  const beside: { child: ChildProcess; node: string; pid: number }[] = [];
  let server = "";

  beforeAll(async () => {
    await lab.enrol("app");
    server = (await lab.pod("app", "server")).ip;
    await eventually("traffic flows", works);
  }, 60_000);

  afterEach(async () => {
    for (const { child, node, pid } of beside.splice(0)) {
      await lab.exec({ node }, ["kill", "-9", String(pid)]);
      child.kill("SIGKILL");
    }
  });

  const works = async (): Promise<boolean> =>
    (await lab.run<{ answer?: string }>("app/client", "echo", server, 7001, "hi")).answer === "hi";
  const ztunnelPid = async (node: string): Promise<number> =>
    (await lab.status()).nodes.find(({ name }) => name === node)?.ztunnel?.pid ?? 0;
  const seconds = (count: number) => new Promise((resolve) => setTimeout(resolve, count * 1_000));

  /** A second ztunnel with the environment of the one that runs, on another address of the node's loopback. */
  async function startBeside(node: string): Promise<number> {
    const { stdout } = await lab.exec({ node }, ["cat", `/proc/${await ztunnelPid(node)}/environ`]);
    const env = stdout.split("\0").filter((pair) => pair !== "" && !pair.startsWith("AMBIT_LISTEN_IP="));
    const program = [process.execPath, "--conditions=@ambit/source", programPath("packages/ztunnel/src/main.ts")];
    const command = ["env", "-i", ...env, `AMBIT_LISTEN_IP=${BESIDE_ADDRESS}`, ...program];
    const child = await lab.spawn({ node }, ["sh", "-c", 'echo "$$"; exec "$@"', "sh", ...command]);
    const lines = createInterface({ input: child.stdout as Readable });
    const pid = await new Promise<number>((resolve) => lines.once("line", (line) => resolve(Number(line))));
    child.stderr?.resume();
    beside.push({ child, node, pid });
    const ask = `fetch("http://${BESIDE_ADDRESS}:15021/healthz/ready").then((a) => process.exit(a.ok ? 0 : 1), () => process.exit(1))`;
    await eventually(
      "the second ztunnel is ready",
      async () => (await lab.exec({ node }, [process.execPath, "-e", ask])).exitCode === 0,
      60_000,
    );
    return pid;
  }

  it.each(["node1", "node2"])(
    "case 59: a rolling upgrade on %s, the new ztunnel beside the old: no connection fails, a long stream goes on",
    async (node) => {
      const old = await ztunnelPid(node);
      // Before there are two to take it: what holds the old one must be the old one's.
      const long = await lab.start<{ ended: string }>("app/client", "stream", server, 7001, "input");
      await startBeside(node);
      const churn = lab.run<Churn>("app/client", "churn", server, 7001, 6, 100);
      await seconds(1.5);
      await lab.exec({ node }, ["kill", "-TERM", String(old)]);
      await seconds(1);
      expect(await ztunnelPid(node)).toBe(old);
      expect(await churn).toMatchObject({ ok: 600, failed: 0, failures: [] });
      long.finish();
      expect((await long.result).ended).toBe("time is up");
      // The lab starts another one in its place, once the old one has drained: now the second gives way to it.
      await eventually(
        "the old one is gone and followed",
        async () => {
          const found = (await lab.status()).nodes.find(({ name }) => name === node)?.ztunnel;
          return found?.ready && found.pid !== old;
        },
        60_000,
      );
      const after = lab.run<Churn>("app/client", "churn", server, 7001, 4, 100);
      await seconds(1);
      await lab.exec({ node }, ["kill", "-TERM", String(beside[0]?.pid)]);
      expect(await after).toMatchObject({ ok: 400, failed: 0, failures: [] });
    },
    180_000,
  );

  it.each(["node1", "node2"])(
    "case 60: a ztunnel on %s without descriptors refuses fast, keeps what is open, and recovers by itself",
    async (node) => {
      const pid = await ztunnelPid(node);
      const limit = async (to: string) => {
        const set = `n=$(ls /proc/${pid}/fd | wc -l); prlimit --pid ${pid} --nofile=${to}:`;
        expect((await lab.exec({ node }, ["sh", "-c", set])).exitCode).toBe(0);
      };
      const { stdout } = await lab.exec({ node }, ["sh", "-c", `grep "open files" /proc/${pid}/limits`]);
      const before = /(\d+)\s+\d+\s+files/.exec(stdout)?.[1] ?? "65536";
      const long = await lab.start<{ ended: string; longestGapMs: number }>("app/client", "stream", server, 7001, 8);
      await limit("$((n + 40))");
      try {
        const crowd = await lab.run<Churn>("app/client", "many", server, 7001, 300);
        process.stderr.write(`with 40 descriptors left on ${node}: ${JSON.stringify(crowd)}\n`);
        expect(crowd.failed).toBeGreaterThan(0);
      } finally {
        await limit(before);
      }
      expect((await long.result).ended).toBe("time is up");
      expect(await ztunnelPid(node)).toBe(pid);
      expect(await lab.run("app/client", "many", server, 7001, 300)).toMatchObject({ ok: 300, failed: 0 });
    },
    60_000,
  );
});
