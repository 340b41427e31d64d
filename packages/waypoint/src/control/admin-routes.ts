import { type DumpObject, healthRoute, json, loggingRoute, quitRoute, type Route, text } from "@ambit/shared/admin";
import type { LogSystem } from "@ambit/shared/log";

export interface AdminRoutesInit {
  readonly logs: LogSystem;
  dump(): DumpObject;
  /** Begins the drain; the process stays until it is told to end. */
  drain(): void;
  requestShutdown(): void;
  /** Of the traffic parts. */
  readonly more: readonly Route[];
}

const INDEX = `<!doctype html><title>waypoint</title><ul>
<li><a href="/config_dump">/config_dump</a>: everything this waypoint knows
<li>POST /logging?level=LEVEL or SCOPE=LEVEL, ?reset
<li>POST /drain: no new tunnels, clients are sent away
<li>POST /quitquitquit: drain and end
</ul>
`;

/** The admin port's paths. */
export function adminRoutes(init: AdminRoutesInit): readonly Route[] {
  return [
    { path: "/", handle: () => ({ headers: { "content-type": "text/html; charset=utf-8" }, body: INDEX }) },
    healthRoute,
    loggingRoute(init.logs),
    quitRoute(() => init.requestShutdown()),
    {
      method: "POST",
      path: "/drain",
      handle() {
        init.drain();
        return text(200, "draining\n");
      },
    },
    { method: "GET", path: "/config_dump", handle: () => json(init.dump()) },
    ...init.more,
  ];
}
