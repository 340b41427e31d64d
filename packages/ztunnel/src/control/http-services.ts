import { type HttpService, metricsRoutes, type Route, readinessRoutes, startHttpService } from "@ambit/shared/admin";
import type { Readiness } from "@ambit/shared/lifecycle";
import type { Logger } from "@ambit/shared/log";
import type { MetricsRegistry } from "@ambit/shared/metrics";
import type { SocketAddress } from "@ambit/shared/net";
import type { ListenConfig } from "../config/listen.ts";

const CLOSE_GRACE_MS = 500;

export interface HttpServices {
  readonly addresses: {
    readonly admin: SocketAddress;
    readonly metrics: SocketAddress;
    readonly readiness: SocketAddress;
  };
  close(): Promise<void>;
}

/** Opens admin, metrics and readiness. Throws, with nothing left open, when one address is taken. */
export async function startHttpServices(
  listen: ListenConfig,
  routes: { readonly admin: readonly Route[]; readonly registry: MetricsRegistry; readonly readiness: Readiness },
  log: Logger,
): Promise<HttpServices> {
  const open: HttpService[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(open.splice(0).map((service) => service.close(CLOSE_GRACE_MS)));
  };
  const onError = (error: Error): void => log.error("an HTTP handler failed", { error, stack: error.stack });
  const start = async (port: number, served: readonly Route[], loopbackOnly: boolean): Promise<SocketAddress> => {
    const ip = loopbackOnly ? listen.adminIp : listen.publicIp;
    const service = await startHttpService({ routes: served, port, loopbackOnly, onError, ...(ip ? { ip } : {}) });
    open.push(service);
    return service.address;
  };
  try {
    const admin = await start(listen.adminPort, routes.admin, true);
    const metrics = await start(listen.metricsPort, metricsRoutes(routes.registry), false);
    const readiness = await start(listen.readinessPort, readinessRoutes(routes.readiness), false);
    return { addresses: { admin, metrics, readiness }, close };
  } catch (error) {
    await close();
    throw error;
  }
}
