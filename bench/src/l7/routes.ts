import { makeRow, median, type Row } from "../row.ts";
import { PACED, type PacedRun, pacedRun } from "./paced.ts";
import { httpRoute, lastPath, pathRule, untilAnswersCarry } from "./route-objects.ts";
import type { Topology } from "./topology.ts";

const RULES = 1000;
/** As the Gateway API allows in one HTTPRoute. */
const RULES_PER_ROUTE = 16;

/** The same load with one HTTPRoute rule and with a thousand, of which the request's is the last. */
export async function routes(topology: Topology, rounds: number): Promise<Row[]> {
  const one: PacedRun[] = [];
  const many: PacedRun[] = [];
  const path = lastPath(RULES);
  const measurement = { ...PACED, path };
  const thousand = manyRoutes();
  await topology.warmUp();
  for (let round = 0; round <= rounds; round++) {
    await topology.lab.apply([{ name: "one.json", text: JSON.stringify(httpRoute("only", [pathRule(path, "one")])) }]);
    await untilAnswersCarry(topology, path, "one");
    const alone = await pacedRun(topology, "ours", measurement);
    await topology.lab.delete({ kind: "HTTPRoute", namespace: "mesh", name: "only" });
    await topology.lab.apply([{ name: "many.json", text: thousand }]);
    await untilAnswersCarry(topology, path, "many");
    const among = await pacedRun(topology, "ours", measurement);
    await topology.lab.delete({ files: [{ name: "many.json", text: thousand }] });
    // The first round is not counted.
    if (round === 0) continue;
    one.push(alone);
    many.push(among);
  }
  const row = (name: "p50" | "p90" | "p99" | "cpu", unit: string): Row => {
    const what = name === "cpu" ? "CPU of the waypoint" : name;
    const middle = (runs: readonly PacedRun[]): number => median(runs.map((run) => run[name]));
    return makeRow(`1 000 route rules, ${what} (direct: 1 rule)`, unit, middle(one), middle(many));
  };
  return [row("p50", "ms"), row("p90", "ms"), row("p99", "ms"), row("cpu", "vCPU")];
}

function manyRoutes(): string {
  const rules = Array.from({ length: RULES }, (_, index) => pathRule(lastPath(index + 1), "many"));
  const objects: unknown[] = [];
  for (let at = 0; at < RULES; at += RULES_PER_ROUTE) {
    objects.push(httpRoute(`many-${String(at).padStart(4, "0")}`, rules.slice(at, at + RULES_PER_ROUTE)));
  }
  return objects.map((object) => JSON.stringify(object)).join("\n---\n");
}
