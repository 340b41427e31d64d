import { atMost, makeRow, median, type Row } from "../row.ts";
import { withinTimes } from "./against-envoy.ts";
import { PACED, type PacedRun, pacedRun } from "./paced.ts";
import { httpRoute, pathRule, untilAnswersCarry } from "./route-objects.ts";
import type { Topology } from "./topology.ts";

const EVERY_MS = 100;

/** The route changes ten times a second under the paced load: requests that fail, and the tail meanwhile. */
export async function swap(topology: Topology, rounds: number): Promise<Row[]> {
  const quiet: PacedRun[] = [];
  const changing: PacedRun[] = [];
  await applyVersion(topology, 0);
  await untilAnswersCarry(topology, "/", "v0");
  await pacedRun(topology, "ours", PACED);
  for (let round = 0; round < rounds; round++) {
    quiet.push(await pacedRun(topology, "ours", PACED));
    const changes = startChanging(topology);
    changing.push(await pacedRun(topology, "ours", PACED, true));
    await changes.stop();
  }
  await topology.lab.delete({ kind: "HTTPRoute", namespace: "mesh", name: "swapped" });
  const middle = (runs: readonly PacedRun[], name: "p50" | "p99" | "cpu" | "versions"): number =>
    median(runs.map((run) => run[name]));
  const both = (name: "p50" | "p99" | "cpu") => [middle(quiet, name), middle(changing, name)] as const;
  const failed = changing.reduce((sum, run) => sum + run.failed, 0);
  return [
    makeRow("a route change every 100 ms: failed requests", "", null, failed, atMost(0, "")),
    makeRow("the same: configurations that answered, of 80", "", null, middle(changing, "versions")),
    makeRow("the same, p50 (direct: no change)", "ms", ...both("p50")),
    makeRow("the same, p99 (direct: no change)", "ms", ...both("p99"), withinTimes(2)),
    makeRow("the same: CPU of the waypoint (direct: no change)", "vCPU", ...both("cpu")),
  ];
}

function startChanging(topology: Topology): { stop(): Promise<void> } {
  let version = 0;
  let stopped = false;
  const run = async (): Promise<void> => {
    const started = performance.now();
    while (!stopped) {
      await applyVersion(topology, ++version);
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

async function applyVersion(topology: Topology, version: number): Promise<void> {
  const text = JSON.stringify(httpRoute("swapped", [pathRule("/", `v${version}`)]));
  const { problems } = await topology.lab.apply([{ name: "swapped.json", text }]);
  if (problems.length > 0) throw new Error(`the route was refused: ${JSON.stringify(problems)}`);
}
