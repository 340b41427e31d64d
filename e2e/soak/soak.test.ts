import { canRunLab, useLab } from "@ambit/testing/lab";
import { beforeAll, describe, expect, it } from "@jest/globals";

const scenario = canRunLab ? describe : describe.skip;

const ROUNDS_A_RUN = 10;
/** Half a kilobyte for each of 60 000 connections; quiet footprints differ by up to 20 MB from one moment to another. */
const LEAK_MB = 30;

interface Footprint {
  readonly anonymousMb: number;
  readonly descriptors: number;
}

scenario("a long day in minutes (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/pairs.yaml"], ["LOG_LEVEL=warn"]);
  let server = "";

  beforeAll(async () => {
    await lab.enrol("app");
    server = (await lab.pod("app", "server")).ip;
    // The client opens more connections a minute than it has ports: its kernel may take one in TIME_WAIT again after a second.
    const client = { namespace: "app", pod: (await lab.pod("app", "client")).name };
    const { exitCode } = await lab.exec(client, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse"]);
    expect(exitCode).toBe(0);
  }, 60_000);

  async function footprint(node: string): Promise<Footprint> {
    const pid = (await lab.status()).nodes.find((one) => one.name === node)?.ztunnel?.pid;
    const script = `awk '/RssAnon/ {print $2*1024/1000000}' /proc/${pid}/status; ls /proc/${pid}/fd | wc -l`;
    const { stdout } = await lab.exec({ node }, ["sh", "-c", script]);
    const [anonymousMb = Number.NaN, descriptors = Number.NaN] = stdout.trim().split("\n").map(Number);
    return { anonymousMb, descriptors };
  }

  /** Of both nodes, after garbage was collected and given back: under load it comes and goes by tens of MB. */
  async function quietFootprints(): Promise<Footprint[]> {
    await new Promise((resolve) => setTimeout(resolve, 25_000));
    return [await footprint("node1"), await footprint("node2")];
  }

  /** Short connections, a thousand at once; enough of them that a leak of a kilobyte each would show. */
  async function churn(rounds: number): Promise<void> {
    for (let done = 0; done < rounds; done += ROUNDS_A_RUN) {
      const result = await lab.run("app/client", "many", server, 7001, 1000, ROUNDS_A_RUN);
      expect(result).toMatchObject({ ok: 1000 * ROUNDS_A_RUN, failed: 0 });
    }
  }

  it("case 62: a hundred thousand connections leave neither memory nor descriptors behind", async () => {
    await churn(40);
    const warm = await quietFootprints();
    const started = performance.now();
    await churn(60);
    const perSecond = Math.round(60_000 / ((performance.now() - started) / 1000));
    const end = await quietFootprints();
    process.stderr.write(`${perSecond} connections/s, footprints: ${JSON.stringify({ warm, end })}\n`);
    for (const at of [0, 1]) {
      expect((end[at]?.anonymousMb ?? Number.NaN) - (warm[at]?.anonymousMb ?? 0)).toBeLessThan(LEAK_MB);
      expect(Math.abs((end[at]?.descriptors ?? Number.NaN) - (warm[at]?.descriptors ?? 0))).toBeLessThan(20);
    }
  }, 900_000);

  it("case 63: ten thousand idle connections stay, and each still works", async () => {
    const before = await footprint("node2");
    const idle = await lab.start<{ open: number; alive: number }>("app/client", "idle", server, 7001, 10_000);
    await new Promise((resolve) => setTimeout(resolve, 20_000));
    const loaded = await footprint("node2");
    idle.finish();
    expect(await idle.result).toMatchObject({ open: 10_000, alive: 10_000 });
    const kilobytesEach = ((loaded.anonymousMb - before.anonymousMb) * 1000) / 10_000;
    process.stderr.write(`idle connections: ${kilobytesEach.toFixed(1)} kB each\n`);
    expect(kilobytesEach).toBeLessThan(32);
  }, 240_000);

  it("case 64: one pod's bulk transfer leaves its neighbour's requests answered", async () => {
    interface Stream {
      readonly echoes: number;
      readonly longestGapMs: number;
      readonly p50Ms: number;
      readonly p99Ms: number;
      readonly ended: string;
    }
    const quiet = await lab.run<Stream>("app/client", "stream", server, 7001, 5);
    const noise = lab.run("app/neighbour", "upload", server, 7002, 3 * 1024 ** 3);
    const noisy = await lab.run<Stream>("app/client", "stream", server, 7001, 5);
    await noise;
    process.stderr.write(`echoes: ${JSON.stringify({ quiet, noisy })}\n`);
    expect(noisy.ended).toBe("time is up");
    expect(noisy.echoes).toBeGreaterThan(quiet.echoes * 0.8);
    expect(noisy.longestGapMs).toBeLessThan(500);
  }, 120_000);
});
