import { healthRoute, json, loggingRoute, metricsRoutes, quitRoute, type Route, text } from "@ambit/shared/admin";
import type { InputProblem } from "@ambit/shared/kube";
import type { LogSystem } from "@ambit/shared/log";
import type { MetricsRegistry } from "@ambit/shared/metrics";
import type { Condition, ObjectStatus } from "../model/index.ts";
import type { AdsClientStatus } from "../push/index.ts";

/** What `GET /debug/status` tells. */
export interface ControlPlaneStatus {
  readonly ready: boolean;
  readonly problems: readonly InputProblem[];
  /** Conditions by object key, only of objects about which there is something to say. */
  readonly conditions: Readonly<Record<string, readonly Condition[]>>;
  /** Of routes and Gateways the whole status, part by part. */
  readonly statuses: Readonly<Record<string, ObjectStatus>>;
  readonly clients: readonly AdsClientStatus[];
  readonly resources: Readonly<Record<string, number>>;
}

export interface AdminInit {
  readonly registry: MetricsRegistry;
  readonly logs: LogSystem;
  status(): ControlPlaneStatus;
  requestShutdown(cause: string): void;
}

/** The admin port: loopback only, because nobody authenticates here. */
export function adminRoutes({ registry, logs, status, requestShutdown }: AdminInit): readonly Route[] {
  return [
    ...metricsRoutes(registry),
    loggingRoute(logs),
    quitRoute(() => requestShutdown("quitquitquit")),
    healthRoute,
    {
      method: "GET",
      path: "/readyz",
      handle: () =>
        status().ready ? text(200, "ready\n") : text(503, "not ready: the objects are still being loaded\n"),
    },
    { method: "GET", path: "/debug/status", handle: () => json(status()) },
  ];
}
