/** Counters and gauges of the control plane. All of them are ours: istiod's have other meanings. */
import { type MetricsRegistry, registerProcessMetrics } from "@ambit/shared/metrics";

/** What the gauges show, asked for before each scrape. */
export interface ControlPlaneFacts {
  readonly objects: number;
  readonly problems: number;
  readonly clients: number;
  readonly resources: Readonly<Record<string, number>>;
}

export interface ControlPlaneMetrics {
  pushed(typeUrl: string, resources: number, removed: number): void;
  nacked(typeUrl: string): void;
  compiled(seconds: number, resources: number): void;
  certificateAnswered(status: string): void;
}

const COMPILE_BUCKETS = [0.0001, 0.001, 0.01, 0.1, 1, 10];

export function createMetrics(registry: MetricsRegistry, facts: () => ControlPlaneFacts): ControlPlaneMetrics {
  const pushes = registry.counter({ name: "ambit_xds_pushes", help: "Responses sent", labelNames: ["url"] });
  const sent = registry.counter({
    name: "ambit_xds_resources_sent",
    help: "Resources and removals sent",
    labelNames: ["url"],
  });
  const nacks = registry.counter({
    name: "ambit_xds_nacks",
    help: "Responses a proxy refused in part",
    labelNames: ["url"],
  });
  const compileSeconds = registry.histogram({
    name: "ambit_compile_duration_seconds",
    help: "Time from a change of objects to its resources",
    labelNames: [],
    buckets: COMPILE_BUCKETS,
  });
  const recompiled = registry.counter({
    name: "ambit_compile_resources",
    help: "Resources compiled again",
    labelNames: [],
  });
  const certificates = registry.counter({
    name: "ambit_ca_requests",
    help: "Certificate requests by gRPC status",
    labelNames: ["status"],
  });
  const objects = registry.gauge({ name: "ambit_objects", help: "Objects loaded", labelNames: [] });
  const problems = registry.gauge({
    name: "ambit_input_problems",
    help: "Things wrong in the input now",
    labelNames: [],
  });
  const clients = registry.gauge({ name: "ambit_xds_clients", help: "Connected proxies", labelNames: [] });
  const resources = registry.gauge({ name: "ambit_xds_resources", help: "Resources served", labelNames: ["url"] });
  registerProcessMetrics(registry);
  registry.beforeScrape(() => {
    const now = facts();
    objects.with().set(now.objects);
    problems.with().set(now.problems);
    clients.with().set(now.clients);
    for (const [url, count] of Object.entries(now.resources)) resources.with(url).set(count);
  });
  return {
    pushed(typeUrl, upserted, removed) {
      pushes.with(typeUrl).inc();
      sent.with(typeUrl).inc(upserted + removed);
    },
    nacked: (typeUrl) => nacks.with(typeUrl).inc(),
    compiled(seconds, count) {
      compileSeconds.with().observe(seconds);
      recompiled.with().inc(count);
    },
    certificateAnswered: (status) => certificates.with(status).inc(),
  };
}
