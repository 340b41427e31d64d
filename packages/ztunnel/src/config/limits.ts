import type { EnvReader } from "@ambit/shared/config";
import { err, ok, type Result } from "@ambit/shared/errors";

/** Bounds of what one pod or peer may hold. */
export interface LimitsConfig {
  readonly connectionsPerPod: number;
  readonly hboneSessionsPerPeer: number;
}

export function readLimits(env: EnvReader): LimitsConfig {
  return {
    connectionsPerPod: env.integer("AMBIT_MAX_CONNECTIONS_PER_POD", 20_000, { min: 1, max: 1_000_000 }),
    hboneSessionsPerPeer: env.integer("AMBIT_MAX_SESSIONS_PER_PEER", 256, { min: 1, max: 100_000 }),
  };
}

/** Threads that carry traffic, and how much each may grow. */
export interface WorkersConfig {
  readonly count: number;
  /** V8 heap of one worker (buffers are outside of it), MiB. */
  readonly heapMib: number;
}

/** @param cpus  cores this process may use */
export function readWorkers(env: EnvReader, cpus: number): WorkersConfig {
  const limit = env.integer("ZTUNNEL_CPU_LIMIT", 0, { min: 0, max: 1024 });
  const cores = limit > 0 ? Math.min(limit, cpus) : cpus;
  return {
    count: env.parsed("ZTUNNEL_WORKER_THREADS", defaultWorkers(cores), (text) => parseWorkerCount(text, cpus)),
    heapMib: env.integer("AMBIT_WORKER_HEAP_MIB", 512, { min: 64, max: 65_536 }),
  };
}

/** One worker on two cores or fewer, else a quarter of the cores and at least two. Differs: ztunnel's minimum is always two. */
const defaultWorkers = (cores: number): number => (cores <= 2 ? 1 : Math.max(2, Math.ceil(cores / 4)));

/** A number, `N%` of the cores (rounded up), or `0` for all of them. */
function parseWorkerCount(text: string, cpus: number): Result<number> {
  const match = /^(\d{1,4})(%?)$/.exec(text);
  if (!match) return err("expected a number of threads, 0 for all cores, or a share such as 25%");
  const number = Number(match[1]);
  const count = match[2] === "%" ? Math.max(1, Math.ceil((cpus * number) / 100)) : number || cpus;
  return count <= 256 ? ok(count) : err("expected at most 256 threads");
}
