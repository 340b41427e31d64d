import { makeRow, type Row } from "../row.ts";
import { vsEnvoy } from "./against-envoy.ts";
import { FLAT_OUT, type MeshedSide, type Topology } from "./topology.ts";

/** The garbage of a start is given back in the first of its 10 s that are quiet from end to end. */
const AFTER_START_MS = 22_000;
/** That of a burst after six of them. */
const AFTER_LOAD_MS = 82_000;

/** Resident memory of a waypoint: idle, right after load, and once it is idle again. Runs first, before any other load. */
export async function memory(topology: Topology): Promise<Row[]> {
  const sides = topology.sides.filter((side): side is MeshedSide => side !== "direct");
  const read = async (side: MeshedSide): Promise<number> => (await topology.waypoint(side)).residentBytes / 1e6;
  const moments: { readonly what: string; readonly megabytes: ReadonlyMap<MeshedSide, number> }[] = [];
  const note = async (what: string): Promise<void> => {
    const megabytes = new Map<MeshedSide, number>();
    for (const side of sides) megabytes.set(side, await read(side));
    moments.push({ what, megabytes });
  };
  await pause(AFTER_START_MS);
  await note("idle");
  for (const side of sides) await topology.measure(side, FLAT_OUT);
  await note("right after load");
  await pause(AFTER_LOAD_MS);
  await note("idle again");
  return moments.flatMap(({ what, megabytes }) => {
    const name = `resident memory of the waypoint, ${what}`;
    const ours = megabytes.get("ours") ?? Number.NaN;
    const envoy = megabytes.get("envoy");
    return [makeRow(envoy === undefined ? name : vsEnvoy(name), "MB", envoy ?? null, ours)];
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
