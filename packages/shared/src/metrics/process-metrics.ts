import { readdirSync, readFileSync } from "node:fs";
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import type { MetricsRegistry } from "./registry.ts";

/** `process_*` and event-loop gauges of this process, read at each scrape. */
export function registerProcessMetrics(registry: MetricsRegistry): void {
  const gauge = (name: string, help: string) => registry.gauge({ name, help, labelNames: [] });
  const openFds = gauge("process_open_fds", "Open file descriptors");
  const maxFds = gauge("process_max_fds", "Limit of open file descriptors");
  const rss = gauge("process_resident_memory_bytes", "Resident memory (unstable)");
  const start = gauge("process_start_time_seconds", "Start, seconds since the epoch (unstable)");
  const lagP99 = gauge("ambit_control_thread_lag_seconds", "p99 delay of the control thread's event loop (unstable)");
  const cpu = registry.counter({ name: "process_cpu_seconds", help: "CPU time used (unstable)", labelNames: [] });
  const delay = watchEventLoop();
  const limit = fileLimit();
  let cpuSeen = 0;
  registry.beforeScrape(() => {
    const { user, system } = process.cpuUsage();
    const used = (user + system) / 1e6;
    cpu.with().inc(used - cpuSeen);
    cpuSeen = used;
    // Each of these needs a descriptor to look; without one left, what was known stays.
    openFds.with().set(attempt(() => readdirSync("/proc/self/fd").length) ?? limit);
    rss.with().set(attempt(() => process.memoryUsage.rss()) ?? Number.NaN);
    maxFds.with().set(limit);
    start.with().set(Math.round(Date.now() / 1000 - process.uptime()));
    lagP99.with().set(delay.percentile(99) / 1e9);
    delay.reset();
  });
}

/** Ten times a second: often enough to see a stall of that length, and an idle process is let sleep. */
const LOOP_PERIOD_MS = 100;

/**
 * How late a timer of this thread is, in nanoseconds. Not `monitorEventLoopDelay`, whose values have its own period in
 * them: an idle process would report 20 ms.
 */
function watchEventLoop(): RecordableHistogram {
  const histogram = createHistogram();
  let due = performance.now() + LOOP_PERIOD_MS;
  setInterval(() => {
    const now = performance.now();
    histogram.record(Math.max(1, Math.round((now - due) * 1e6)));
    due = now + LOOP_PERIOD_MS;
  }, LOOP_PERIOD_MS).unref();
  return histogram;
}

function attempt(read: () => number): number | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** The soft limit, which a process raises before anything else. */
function fileLimit(): number {
  const text = attempt(() => Number(/Max open files\s+(\d+)/.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]));
  return text ?? Number.NaN;
}
