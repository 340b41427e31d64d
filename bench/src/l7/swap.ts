import { atMost, makeRow, median, type Row } from "../row.ts";
import { withinTimes } from "./against-envoy.ts";
import { PACED, type PacedRun, pacedRun } from "./paced.ts";
import { httpRoute, pathRule, untilAnswersCarry } from "./route-objects.ts";
import type { Topology } from "./topology.ts";

const EVERY_MS = 100;

/** Of the service measured, and of one that our waypoint is told nothing of: its changes cost the machine the same. */
const MEASURED = "mesh";
const ELSEWHERE = "direct";

/** A route changes ten times a second under the paced load: requests that fail, and the tail meanwhile. */
export async function swap(topology: Topology, rounds: number): Promise<Row[]> {
  const quiet: PacedRun[] = [];
  const elsewhere: PacedRun[] = [];
  const swapped: PacedRun[] = [];
  await applyVersion(topology, MEASURED, 0);
  await applyVersion(topology, ELSEWHERE, 0);
  await untilAnswersCarry(topology, "/", "v0");
  await topology.warmUp();
  await changingRun(topology, MEASURED);
  for (let round = 0; round < rounds; round++) {
    quiet.push(await pacedRun(topology, "ours", PACED));
    elsewhere.push(await changingRun(topology, ELSEWHERE));
    swapped.push(await changingRun(topology, MEASURED));
  }
  for (const namespace of [MEASURED, ELSEWHERE])
    await topology.lab.delete({ kind: "HTTPRoute", namespace, name: "swapped" });
  const middle = (runs: readonly PacedRun[], name: "p50" | "p99" | "cpu" | "versions"): number =>
    median(runs.map((run) => run[name]));
  const failed = swapped.reduce((sum, run) => sum + run.failed, 0);
  return [
    makeRow("a route change every 100 ms for 8 s: failed requests", "", null, failed, atMost(0, "")),
    makeRow("the same: configurations that answered", "", null, middle(swapped, "versions")),
    makeRow("the same, p50 (direct: no change)", "ms", middle(quiet, "p50"), middle(swapped, "p50")),
    makeRow("the same, p99 (direct: no change)", "ms", middle(quiet, "p99"), middle(swapped, "p99"), withinTimes(2)),
    makeRow("the same, p99 (direct: changes elsewhere)", "ms", middle(elsewhere, "p99"), middle(swapped, "p99")),
    makeRow("the same: CPU of the waypoint (direct: no change)", "vCPU", middle(quiet, "cpu"), middle(swapped, "cpu")),
  ];
}

async function changingRun(topology: Topology, namespace: string): Promise<PacedRun> {
  const changes = startChanging(topology, namespace);
  try {
    return await pacedRun(topology, "ours", PACED, true);
  } finally {
    await changes.stop();
  }
}

function startChanging(topology: Topology, namespace: string): { stop(): Promise<void> } {
  let version = 0;
  let stopped = false;
  const run = async (): Promise<void> => {
    const started = performance.now();
    while (!stopped) {
      await applyVersion(topology, namespace, ++version);
      const nextAt = started + version * EVERY_MS;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, nextAt - performance.now())));
    }
  };
  const running = run();
  // A rejection is told by `stop`, not as one that nobody handles.
  running.catch(() => {});
  return {
    stop() {
      stopped = true;
      return running;
    },
  };
}

async function applyVersion(topology: Topology, namespace: string, version: number): Promise<void> {
  const text = JSON.stringify(httpRoute("swapped", [pathRule("/", `v${version}`)], namespace));
  const { problems } = await topology.lab.apply([{ name: "swapped.json", text }]);
  if (problems.length > 0) throw new Error(`the route was refused: ${JSON.stringify(problems)}`);
}
