import type { Readiness } from "../lifecycle/index.ts";
import type { Logger } from "../log/index.ts";
import type { MetricsRegistry } from "../metrics/index.ts";
import type { SocketAddress } from "../net/index.ts";
import type { ListenConfig } from "../proxy-config/index.ts";
import { metricsRoutes, readinessRoutes } from "./common-routes.ts";
import { type HttpService, type Route, startHttpService } from "./http-service.ts";

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
