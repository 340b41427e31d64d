import type { LogSystem } from "@ambit/shared/log";
import type { MetricsRegistry } from "@ambit/shared/metrics";
import type { Clock } from "@ambit/shared/time";
import type { ZtunnelMetrics } from "./metrics.ts";
import type { WorkerPool } from "./worker-pool.ts";

/** Sets what is true now before every scrape. */
export function registerGauges(
  registry: MetricsRegistry,
  metrics: ZtunnelMetrics,
  sources: {
    readonly pool: WorkerPool;
    readonly logs: LogSystem;
    readonly clock: Clock;
    readonly pendingPods: () => number;
  },
): void {
  registry.beforeScrape(async () => {
    const { pool, logs, clock, pendingPods } = sources;
    const reports = await pool.reports();
    const sum = (value: (report: (typeof reports)[number]) => number): number =>
      reports.reduce((total, report) => total + value(report), 0);
    metrics.socketsOpen.with("source").set(sum((report) => report.socketsOpen.source));
    metrics.socketsOpen.with("destination").set(sum((report) => report.socketsOpen.destination));
    metrics.poolSessions.with().set(sum((report) => report.poolSessions));
    const status = pool.status();
    metrics.workersUp.with().set(status.filter(({ up }) => up).length);
    for (const { id, restarts } of status) metrics.workerRestarts.with(String(id)).set(restarts);
    metrics.activeProxies.with().set(pool.pods.all().length);
    metrics.pendingProxies.with().set(pendingPods());
    metrics.logLinesDropped.with().set(logs.dropped());
    metrics.labelOverflow.with().set(metrics.traffic.overflowed());
    metrics.traffic.expire(clock.monotonic());
  });
}
