import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { ok, type Result } from "../errors/index.ts";
import type { Readiness } from "../lifecycle/index.ts";
import { type LevelFilter, type LogSystem, parseLevelFilter } from "../log/index.ts";
import { acceptsGzip, type MetricsRegistry, metricsContentType } from "../metrics/index.ts";
import { type HttpAnswer, type HttpRequest, type Route, text } from "./http-service.ts";

const compress = promisify(gzip);
const GZIP_ABOVE_BYTES = 1024;

/** `/metrics` and `/stats/prometheus`. */
export function metricsRoutes(registry: MetricsRegistry): readonly Route[] {
  const handle = async (request: HttpRequest): Promise<HttpAnswer> => {
    const plain = Buffer.from(await registry.scrape());
    const headers = { "content-type": metricsContentType(request.header("accept")), vary: "accept, accept-encoding" };
    if (plain.length < GZIP_ABOVE_BYTES || !acceptsGzip(request.header("accept-encoding")))
      return { headers, body: plain };
    return { headers: { ...headers, "content-encoding": "gzip" }, body: await compress(plain) };
  };
  return [
    { method: "GET", path: "/metrics", handle },
    { method: "GET", path: "/stats/prometheus", handle },
  ];
}

/** `/healthz/ready`: 200, or 500 naming what is still pending. Parity: ztunnel. */
export function readinessRoutes(readiness: Readiness): readonly Route[] {
  const handle = (): HttpAnswer => {
    if (readiness.isReady()) return text(200, "ready\n");
    return text(500, `not ready, pending: ${readiness.pending().join(", ")}\n`);
  };
  return [{ method: "GET", path: "/healthz/ready", handle }];
}

/** `POST /logging`: `?level=FILTER` adds to the levels, `?reset[=FILTER]` goes back to the start's first. Parity: ztunnel. */
export function loggingRoute(logs: LogSystem): Route {
  return {
    method: "POST",
    path: "/logging",
    handle({ query }) {
      const reset = query.get("reset");
      const changed = parseLevels(query.get("level") || reset, reset === null ? logs.levels() : logs.initialLevels());
      if (!changed.ok) return text(400, `${changed.error}\n`);
      logs.setLevels(changed.value);
      return text(200, `current log level is ${logs.describeLevels()}\n`);
    },
  };
}

const parseLevels = (filter: string | null, base: LevelFilter): Result<LevelFilter> =>
  filter ? parseLevelFilter(filter, base) : ok(base);

/** `POST /quitquitquit`: asks for a graceful shutdown; the answer is still delivered. */
export function quitRoute(request: () => void): Route {
  return {
    method: "POST",
    path: "/quitquitquit",
    handle() {
      // After the answer is on its way: closing the server lets requests in flight end.
      setImmediate(request);
      return text(200, "shutdown now\n");
    },
  };
}

/** `/healthz`: the process runs and its event loop turns. */
export const healthRoute: Route = { method: "GET", path: "/healthz", handle: () => text(200, "ok\n") };
