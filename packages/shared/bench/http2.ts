/**
 * Our HTTP/2 engine against node:http2 over one TLS 1.3 connection on loopback, both ends in processes of their own.
 * Bulk one way with CPU seconds per GB of either end, and 1 KiB ping-pong with CPU per round trip. Runs interleave.
 *
 *   node --conditions=@ambit/source packages/shared/bench/http2.ts [--runs 3] [--mib 2048] [--seconds 3] [--streams 1] [--only ambit] [--malloc default]
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { selfSigned } from "../test/http2-loopback.ts";
import type { Job, Outcome } from "./http2-ends.ts";

const { values: flags } = parseArgs({
  options: {
    runs: { type: "string", default: "3" },
    mib: { type: "string", default: "2048" },
    seconds: { type: "string", default: "3" },
    streams: { type: "string", default: "1" },
    only: { type: "string" },
    malloc: { type: "string", default: "tuned" },
  },
});
const ENDS = fileURLToPath(new URL("./http2-ends.ts", import.meta.url));
const keys = await selfSigned();

interface Round {
  readonly source: Outcome;
  readonly sink: Outcome;
}

async function round(engine: Job["engine"], task: Job["task"]): Promise<Round> {
  const job = {
    engine,
    task,
    mib: Number(flags.mib),
    seconds: Number(flags.seconds),
    streams: Number(flags.streams),
    keys,
  };
  const sink = pinned(1);
  const source = pinned(0);
  try {
    const listening = once(sink, "message");
    sink.send({ ...job, side: "sink", port: 0 });
    const [{ port }] = (await listening) as [{ port: number }];
    const done = Promise.all([outcome(source), outcome(sink)]);
    source.send({ ...job, side: "source", port });
    const [fromSource, fromSink] = await done;
    return { source: fromSource, sink: fromSink };
  } finally {
    sink.kill();
    source.kill();
  }
}

/**
 * glibc gives the top of its heap back to the kernel above 128 KiB and takes it again, page fault by page fault, at the
 * next garbage collection of 16 KiB TLS chunks. Keeping 64 MiB saves the receiver a third of its time.
 */
const MALLOC = flags.malloc === "tuned" ? { MALLOC_TRIM_THRESHOLD_: String(64 * 1024 * 1024) } : {};

/** An end on a core of its own: where the scheduler puts two ends that talk changes the result twofold. */
function pinned(core: number): ChildProcess {
  const execArgv = ["-c", String(core), process.execPath, ...process.execArgv];
  return fork(ENDS, { execPath: "taskset", execArgv, env: { ...process.env, ...MALLOC } });
}

async function outcome(child: ChildProcess): Promise<Outcome> {
  const [message] = (await once(child, "message")) as [Outcome];
  return message;
}

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;

const engines = (["ambit", "node"] as const).filter((engine) => flags.only === undefined || flags.only === engine);
const rounds = new Map<string, Round[]>();
for (let run = 0; run < Number(flags.runs); run++) {
  for (const task of ["bulk", "ping"] as const) {
    for (const engine of engines) {
      const key = `${engine} ${task}`;
      rounds.set(key, [...(rounds.get(key) ?? []), await round(engine, task)]);
    }
  }
}

process.stdout.write(`node ${process.version}, medians of ${flags.runs} interleaved runs\n`);
for (const [key, all] of rounds) {
  const of = (pick: (round: Round) => number): number => median(all.map(pick));
  if (key.endsWith("bulk")) {
    const gbit = of(({ sink }) => (sink.bytes * 8) / sink.wallSeconds / 1e9);
    const perGb = (pick: (round: Round) => Outcome): string =>
      of((each) => (pick(each).cpuSeconds / each.sink.bytes) * 1e9).toFixed(2);
    process.stdout.write(
      `${key.padEnd(12)} ${gbit.toFixed(2)} Gbit/s, CPU s/GB: sender ${perGb((each) => each.source)}, receiver ${perGb((each) => each.sink)}\n`,
    );
  } else {
    const perSecond = of(({ source }) => source.count / source.wallSeconds);
    const perTrip = (pick: (round: Round) => Outcome): string =>
      of((each) => (pick(each).cpuSeconds / each.source.count) * 1e6).toFixed(1);
    process.stdout.write(
      `${key.padEnd(12)} ${perSecond.toFixed(0)} round trips/s, p50 ${of(({ source }) => source.p50Us).toFixed(0)} us, ` +
        `p99 ${of(({ source }) => source.p99Us).toFixed(0)} us, CPU us per trip: client ${perTrip((each) => each.source)}, ` +
        `server ${perTrip((each) => each.sink)}\n`,
    );
  }
}
