import { atMost, makeRow, type Row } from "../row.ts";
import type { Topology } from "./topology.ts";

const IDLE_CONNECTIONS = 2000;
/** A ztunnel gives back the garbage of its start after ten quiet seconds. */
const UNTIL_IDLE_MS = 14_000;

/** Resident memory of a ztunnel once it is idle, and what an idle connection adds to it. Runs first, before any load. */
export async function memory(topology: Topology): Promise<Row[]> {
  await new Promise((resolve) => setTimeout(resolve, UNTIL_IDLE_MS));
  const idle = await topology.usage();
  const held = await topology.hold("ours", ["idle", IDLE_CONNECTIONS]);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const loaded = await topology.usage();
  await held.release();
  const megabytes = Math.max(...idle.map((one) => one.residentBytes)) / 1e6;
  const kilobytesEach =
    Math.max(...loaded.map((one, index) => one.residentBytes - (idle[index]?.residentBytes ?? 0))) /
    IDLE_CONNECTIONS /
    1e3;
  return [
    makeRow("resident memory, idle", "MB", null, megabytes, atMost(80, "MB")),
    makeRow(`resident memory per idle connection (of ${IDLE_CONNECTIONS})`, "kB", null, kilobytesEach),
  ];
}
