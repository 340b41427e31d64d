/** HTTP connections to endpoints, for the forwarding stage: the pool, and what a connection in it is made of. */
import type { MeshError } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import type { CircuitBreaker } from "./balance/index.ts";
import type { Cluster } from "./balance/model.ts";
import type { Originator } from "./forward/connect-originate.ts";
import { type ConnectionHooks, UpstreamPool } from "./forward/upstream-pool.ts";
import type { UpstreamRoute } from "./forward/upstream-route.ts";
import { createUpstreamConnection, defaultConnectOptions, type UpstreamConnection } from "./http/index.ts";
import type { Upstream } from "./phases/act.ts";
import type { RequestPermit } from "./policy/index.ts";
import type { RoutedContext } from "./request-context.ts";

export interface HttpUpstreamsInit {
  readonly clock: Clock;
  readonly originator: Originator;
  readonly maxConnections: number;
  breaker(cluster: Cluster): CircuitBreaker;
}

/** Upstream connections without requests. Parity: Envoy's hour is longer than most servers keep theirs. */
const IDLE_MS = 60_000;

interface HttpRoute extends UpstreamRoute {
  readonly context: RoutedContext;
}

export class HttpUpstreams {
  readonly #init: HttpUpstreamsInit;
  readonly #pool: UpstreamPool<HttpRoute>;

  constructor(init: HttpUpstreamsInit) {
    this.#init = init;
    this.#pool = new UpstreamPool<HttpRoute>({
      clock: init.clock,
      idleTimeoutMs: IDLE_MS,
      maxConnections: init.maxConnections,
      breaker: (cluster) => init.breaker(cluster),
      connect: (permit, route, hooks) => this.#open(permit, route, hooks),
    });
  }

  get size(): number {
    return this.#pool.size;
  }

  /** See `ForwardServices.connect`. */
  connect(
    permit: RequestPermit,
    context: RoutedContext,
    { cluster, endpoint, ...options }: Upstream,
    use: (connection: UpstreamConnection) => void,
  ): Promise<void> {
    const wanted = cluster.http.protocol;
    const version = context.exchange.head.version === "HTTP/2" ? "HTTP/2" : "HTTP/1.1";
    const protocol = wanted === "http2" ? "HTTP/2" : wanted === "http1" ? "HTTP/1.1" : version;
    const client = `${context.tunnel.client.ip} ${context.tunnel.peerPrincipal}`;
    return this.#pool.acquire(permit, { cluster, endpoint, protocol, client, context }, use, options);
  }

  destroy(error: MeshError): void {
    this.#pool.destroy(error);
  }

  async #open(
    permit: RequestPermit,
    { cluster, endpoint, protocol, context }: HttpRoute,
    hooks: ConnectionHooks,
  ): Promise<UpstreamConnection> {
    const { transport } = await this.#init.originator.open(permit, {
      cluster,
      endpoint,
      client: context.tunnel.client,
      serviceHostname: cluster.service?.hostname,
    });
    const options = { ...defaultConnectOptions, ...hooks, clock: this.#init.clock };
    return createUpstreamConnection(transport, protocol === "HTTP/2" ? "http2" : "http1", options);
  }
}
