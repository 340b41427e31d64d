/** A request under way, judged again when the configuration changes. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { LiveTraffic } from "./live-traffic.ts";
import type { Chains, RouteModel } from "./model/route-model.ts";
import type { RequestRecord } from "./observe/index.ts";
import { judgeRequest } from "./phases/authorize.ts";
import { connectionAttributes } from "./phases/policy-attributes.ts";
import { evaluateTcp } from "./policy/index.ts";
import type { RoutedContext } from "./request-context.ts";
import { routesFor } from "./route/index.ts";

export interface LiveRequestEvents {
  /** It was cut. */
  onRefused(code: ErrorCode, policy: string | undefined, message: string): void;
  /** Messages of a gRPC stream that runs on. */
  onProgress(record: RequestRecord): void;
}

export class LiveRequest implements LiveTraffic {
  readonly #context: RoutedContext;
  readonly #events: LiveRequestEvents;

  constructor(context: RoutedContext, events: LiveRequestEvents) {
    this.#context = context;
    this.#events = events;
  }

  /**
   * By the route of the same name where there still is one. Where nothing is served any more it goes on: the service may
   * come back. What cannot be judged is refused.
   */
  reconsider(model: RouteModel): void {
    const { tunnel, chain: before, exchange, record } = this.#context;
    const chains = model.findChains(tunnel.destination, tunnel.peerPrincipal);
    if (!chains || chains.http === before) return;
    const verdict = this.#judge(chains);
    if (verdict.kind === "permit") return;
    record.policy = verdict.policy;
    record.cut(verdict.code, undefined, "policy_changed");
    this.#events.onRefused(verdict.code, verdict.policy, verdict.message);
    exchange.abort(new MeshError(verdict.code, verdict.message));
  }

  cut(): void {
    this.#context.exchange.abort(new MeshError(ErrorCode.CONNECTION_DRAINED, "the waypoint is shutting down"));
  }

  report(): void {
    const record = this.#context.record.progress();
    if (record && !this.#context.chain.telemetry.metricsDisabled) this.#events.onProgress(record);
  }

  /** The port may have become one of plain TCP: then its rules decide. */
  #judge({ http, tcp }: Chains): Judgement {
    const { tunnel, route: taken, virtualHost, external } = this.#context;
    const chain = http ?? tcp;
    if (chain?.unservable !== undefined) {
      return { kind: "refuse", code: ErrorCode.CHAIN_UNSERVABLE, policy: undefined, message: chain.unservable };
    }
    try {
      if (!http) return evaluateTcp(tcp?.authorization ?? NO_RULES, connectionAttributes(tunnel, undefined), external);
      const host = http.routes.virtualHosts.find(({ name }) => name === virtualHost.name);
      const route = host && routesFor(host, tunnel).find(({ name }) => name === taken.name);
      return judgeRequest(this.#context, http, route);
    } catch (thrown) {
      const { code, message } = MeshError.from(thrown, ErrorCode.INVARIANT_VIOLATED);
      return { kind: "refuse", code, policy: undefined, message };
    }
  }
}

type Judgement =
  | { readonly kind: "permit" }
  | {
      readonly kind: "refuse";
      readonly code: ErrorCode;
      readonly policy: string | undefined;
      readonly message: string;
    };

const NO_RULES = { custom: [], rules: [] };
