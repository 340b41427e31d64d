import { type DumpObject, healthRoute, json, loggingRoute, quitRoute, type Route, text } from "@ambit/shared/admin";
import type { SecretManager } from "@ambit/shared/ca";
import type { LogSystem } from "@ambit/shared/log";
import { configDump, connectionList } from "./config-dump.ts";
import type { RefusalRing } from "./refusals.ts";
import type { StateMirror } from "./state-mirror.ts";
import type { WorkerPool } from "./worker-pool.ts";

export interface AdminRoutesInit {
  readonly logs: LogSystem;
  readonly pool: WorkerPool;
  readonly mirror: StateMirror;
  readonly secrets: SecretManager;
  readonly refusals: RefusalRing;
  readonly config: DumpObject;
  readonly version: DumpObject;
  readonly requestShutdown: () => void;
}

const INDEX = `<!doctype html><title>ztunnel</title><ul>
<li><a href="/config_dump">/config_dump</a>: everything this node's proxy knows
<li><a href="/debug/connections">/debug/connections</a>: live connections
<li><a href="/debug/refusals">/debug/refusals</a>: the last 1000 refusals with reason and policy
<li>POST /logging?level=LEVEL or SCOPE=LEVEL, ?reset
<li>POST /workers/N/restart: replace a data worker
<li>POST /quitquitquit: drain and end
</ul>
`;

/** The admin port's paths. Parity: ztunnel; ours are /healthz, /debug/connections, /debug/refusals and /workers/N/restart. */
export function adminRoutes(init: AdminRoutesInit): readonly Route[] {
  const { pool } = init;
  return [
    { path: "/", handle: () => ({ headers: { "content-type": "text/html; charset=utf-8" }, body: INDEX }) },
    healthRoute,
    loggingRoute(init.logs),
    quitRoute(init.requestShutdown),
    {
      path: "/config_dump",
      handle: async () => json(configDump({ ...init, pods: pool.pods.all(), reports: await pool.reports() })),
    },
    {
      method: "GET",
      path: "/debug/connections",
      handle: async () => json(connectionList(pool.pods.all(), await pool.reports())),
    },
    { method: "GET", path: "/debug/refusals", handle: () => json(init.refusals.list()) },
    {
      method: "POST",
      path: /^\/workers\/(\d{1,4})\/restart$/,
      handle: (_, worker) =>
        pool.recycle(Number(worker))
          ? text(200, `worker ${worker} is being replaced\n`)
          : text(404, "no such worker\n"),
    },
  ];
}
