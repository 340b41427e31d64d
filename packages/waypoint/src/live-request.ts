/** A request under way, judged again when the configuration changes. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { LiveTraffic } from "./live-traffic.ts";
import type { RouteModel } from "./model/route-model.ts";
import { judgeRequest } from "./phases/authorize.ts";
import type { RoutedContext } from "./request-context.ts";

export class LiveRequest implements LiveTraffic {
  readonly #context: RoutedContext;
  readonly #onRefused: (code: ErrorCode, policy: string | undefined, message: string) => void;

  constructor(
    context: RoutedContext,
    onRefused: (code: ErrorCode, policy: string | undefined, message: string) => void,
  ) {
    this.#context = context;
    this.#onRefused = onRefused;
  }

  /** By the route of the same name where there still is one. Without a chain it goes on: the service may come back. */
  reconsider(model: RouteModel): void {
    const { tunnel, chain: before, route: taken, exchange, record } = this.#context;
    const chain = model.findChains(tunnel.destination)?.http;
    if (!chain || chain === before) return;
    const routes = chain.routes.virtualHosts.flatMap((virtualHost) => virtualHost.routes);
    const verdict = judgeRequest(
      this.#context,
      chain,
      routes.find(({ name }) => name === taken.name),
    );
    if (verdict.kind === "permit") return;
    record.policy = verdict.policy;
    record.cut(verdict.code, undefined, "policy_changed");
    this.#onRefused(verdict.code, verdict.policy, verdict.message);
    exchange.abort(new MeshError(verdict.code, verdict.message));
  }

  cut(): void {
    this.#context.exchange.abort(new MeshError(ErrorCode.CONNECTION_DRAINED, "the waypoint is shutting down"));
  }
}
