/**
 * The balancers of all clusters: where a request goes, what its end says of the endpoint, and what a cluster may have
 * under way. The one part of this folder with a life; the decisions are in the pure files beside it.
 *
 * A request picks, starts what it picked in the same turn, and finishes it exactly once:
 * pick -> started -> [responded] -> finished.
 */
import type { Clock, Random } from "@ambit/shared/time";
import type { AttemptOutcome } from "./attempt-outcome.ts";
import { type BreakerResource, type CircuitBreaker, limitOf } from "./circuit-breaker.ts";
import { ClusterState, type EndpointEvent } from "./cluster-state.ts";
import { type ClusterStatus, statusOf } from "./cluster-status.ts";
import { LiveEndpoint } from "./live-endpoint.ts";
import type { Cluster, Endpoint, LocalityEndpoints } from "./model.ts";
import { normalizeHash } from "./request-hash.ts";

export interface ClusterBalancersInit {
  readonly clock: Clock;
  readonly random: Random;
  /** Told of ejections and returns, for metrics and the log. Must not throw. */
  readonly onEvent?: (event: EndpointEvent) => void;
}

export interface PickRequest {
  /** For ring hash and Maglev; without one, any endpoint. See `hashText`. */
  readonly hash?: number | bigint;
  /** Keys of the endpoints that earlier attempts had. */
  readonly tried?: ReadonlySet<string>;
  /** How often to pick again while the pick was tried before; default 5, Istio's host attempts. */
  readonly rePicks?: number;
  /** There will be no further attempt: prefer a priority that was not tried. */
  readonly isFinalTry?: boolean;
  /** What the attempt occupies while it runs; default "requests". TCP: "connections". */
  readonly resource?: Extract<BreakerResource, "requests" | "connections">;
  /** Endpoint of the request's session, if it takes requests and was not tried. See `sessionOf`. */
  readonly session?: string;
  /** For clusters of kind `original`: where the tunnel pointed. */
  readonly original?: Endpoint;
}

export type PickResult =
  | { readonly kind: "picked"; readonly endpoint: Endpoint; readonly token: PickToken }
  /** `message` names the cluster, in lower case, and says what to look at. */
  | {
      readonly kind: "none";
      readonly reason: "no-endpoints" | "all-unhealthy" | "circuit-open";
      readonly message: string;
    };

/** One attempt at one endpoint. Opaque to its holder. */
export interface PickToken {
  readonly endpoint: Endpoint;
}

export interface ClusterBalancers {
  /** The clusters of a new model. Requests of an older model keep finding theirs. */
  update(clusters: ReadonlyMap<string, Cluster>): void;
  /** What DNS says of a cluster that names hosts; kept until the next answer, or until its names change. */
  resolved(clusterName: string, priorities: readonly (readonly LocalityEndpoints[])[]): void;
  pick(cluster: Cluster, request?: PickRequest): PickResult;
  /** The attempt begins. Once, in the turn of its pick. */
  started(token: PickToken): void;
  /** The answer's head is there: latency and health count from now on, not only when a long stream ends. Optional. */
  responded(token: PickToken, outcome: AttemptOutcome): void;
  /** The attempt is over, in whatever way. Once; further calls, and calls for what never started, do nothing. */
  finished(token: PickToken, outcome: AttemptOutcome): void;
  /** Limits of connections, pending requests and retries, for those who open them. */
  breaker(cluster: Cluster): CircuitBreaker;
  /** What is known now, for metrics and the config dump. */
  status(): readonly ClusterStatus[];
}

const DEFAULT_RE_PICKS = 5;
const NONE_TRIED: ReadonlySet<string> = new Set();

export function createClusterBalancers(init: ClusterBalancersInit): ClusterBalancers {
  return new Balancers(init);
}

class Token implements PickToken {
  readonly state: ClusterState;
  readonly live: LiveEndpoint;
  readonly endpoint: Endpoint;
  readonly resource: BreakerResource;
  phase: "picked" | "started" | "judged" | "finished" = "picked";
  isProbe = false;
  startedMs = 0;

  constructor(state: ClusterState, live: LiveEndpoint, resource: BreakerResource) {
    this.state = state;
    this.live = live;
    this.endpoint = live.endpoint;
    this.resource = resource;
  }
}

function keptBySession(state: ClusterState, { session, tried }: PickRequest): LiveEndpoint | undefined {
  const live = session === undefined ? undefined : state.ofSession(session);
  return live && live.standing !== "out" && !tried?.has(live.key) ? live : undefined;
}

class Balancers implements ClusterBalancers {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #onEvent: (event: EndpointEvent) => void;
  readonly #states = new Map<string, ClusterState>();
  /** Clusters that are no longer configured, for the requests that still hold them. */
  readonly #orphans = new WeakMap<Cluster, ClusterState>();
  readonly #resolutions = new Map<string, Resolution>();

  constructor({ clock, random, onEvent }: ClusterBalancersInit) {
    this.#clock = clock;
    this.#random = random;
    this.#onEvent = onEvent ?? (() => undefined);
  }

  update(clusters: ReadonlyMap<string, Cluster>): void {
    for (const [name, state] of this.#states) {
      if (clusters.has(name)) continue;
      this.#orphans.set(this.#resolutions.get(name)?.asConfigured ?? state.cluster, state);
      this.#states.delete(name);
      this.#resolutions.delete(name);
    }
    for (const cluster of clusters.values()) this.#configure(cluster);
  }

  resolved(clusterName: string, priorities: readonly (readonly LocalityEndpoints[])[]): void {
    const state = this.#states.get(clusterName);
    const asConfigured = this.#resolutions.get(clusterName)?.asConfigured ?? state?.cluster;
    if (state === undefined || asConfigured?.dns === undefined) return;
    const effective = { ...asConfigured, priorities };
    this.#resolutions.set(clusterName, { asConfigured, effective });
    state.update(effective, this.#clock.monotonic());
  }

  pick(cluster: Cluster, request: PickRequest = {}): PickResult {
    const state = this.#stateOf(cluster);
    const resource = request.resource ?? "requests";
    if (!state.breaker.check(resource)) return circuitOpen(state, resource);
    const nowMs = this.#clock.monotonic();
    const live =
      request.original === undefined
        ? (keptBySession(state, request) ?? choose(state, request, nowMs))
        : new LiveEndpoint(request.original, 0, 0);
    if (live === undefined) return noneUsable(state);
    return { kind: "picked", endpoint: live.endpoint, token: new Token(state, live, resource) };
  }

  started(token: PickToken): void {
    const started = ownToken(token);
    if (started.phase !== "picked") return;
    started.phase = "started";
    started.startedMs = this.#clock.monotonic();
    started.state.breaker.occupy(started.resource);
    started.isProbe = started.state.start(started.live, started.startedMs);
  }

  responded(token: PickToken, outcome: AttemptOutcome): void {
    const answered = ownToken(token);
    if (answered.phase !== "started") return;
    answered.phase = "judged";
    answered.state.judge(answered.live, outcome, answered, this.#clock.monotonic());
  }

  finished(token: PickToken, outcome: AttemptOutcome): void {
    const ended = ownToken(token);
    const { phase, state, live } = ended;
    if (phase === "picked" || phase === "finished") return;
    ended.phase = "finished";
    // After a good head, only a failure of the endpoint in the middle of its answer is news.
    if (phase === "started" || outcome.kind === "local-failure") {
      state.judge(live, outcome, ended, this.#clock.monotonic());
    }
    state.end(live);
    state.breaker.release(ended.resource);
  }

  breaker(cluster: Cluster): CircuitBreaker {
    return this.#stateOf(cluster).breaker;
  }

  status(): readonly ClusterStatus[] {
    const nowMs = this.#clock.monotonic();
    return [...this.#states.values()].map((state) => statusOf(state, nowMs));
  }

  #configure(cluster: Cluster): void {
    const resolution = this.#resolutions.get(cluster.name);
    const effective = resolution === undefined ? cluster : this.#withResolution(cluster, resolution);
    const state = this.#states.get(cluster.name);
    if (state === undefined) this.#states.set(cluster.name, this.#create(cluster));
    else state.update(effective, this.#clock.monotonic());
  }

  /** Last known addresses hold while the names are the same. */
  #withResolution(cluster: Cluster, resolution: Resolution): Cluster {
    if (cluster === resolution.asConfigured) return resolution.effective;
    if (!sameNames(cluster, resolution.asConfigured)) {
      this.#resolutions.delete(cluster.name);
      return cluster;
    }
    const effective = { ...cluster, priorities: resolution.effective.priorities };
    this.#resolutions.set(cluster.name, { asConfigured: cluster, effective });
    return effective;
  }

  #stateOf(cluster: Cluster): ClusterState {
    const state = this.#states.get(cluster.name) ?? this.#orphans.get(cluster);
    if (state !== undefined) return state;
    const orphan = this.#create(cluster);
    this.#orphans.set(cluster, orphan);
    return orphan;
  }

  #create(cluster: Cluster): ClusterState {
    return new ClusterState(cluster, {
      random: this.#random,
      nowMs: this.#clock.monotonic(),
      onEvent: this.#onEvent,
    });
  }
}

interface Resolution {
  readonly asConfigured: Cluster;
  readonly effective: Cluster;
}

function sameNames(a: Cluster, b: Cluster): boolean {
  const textOf = ({ dns }: Cluster): string => JSON.stringify(dns?.hostnames.map((h) => [h.hostname, h.port]) ?? []);
  return textOf(a) === textOf(b);
}

function choose(state: ClusterState, request: PickRequest, nowMs: number): LiveEndpoint | undefined {
  return state.pick(
    {
      hash: request.hash === undefined ? undefined : normalizeHash(request.hash),
      tried: request.tried ?? NONE_TRIED,
      rePicks: request.rePicks ?? DEFAULT_RE_PICKS,
      isFinalTry: request.isFinalTry ?? false,
    },
    nowMs,
  );
}

function circuitOpen(state: ClusterState, resource: BreakerResource): PickResult {
  const limit = limitOf(state.cluster.circuitBreakers, resource);
  const message = `cluster ${state.cluster.name} already has its maximum of ${limit} ${resource} under way`;
  return { kind: "none", reason: "circuit-open", message };
}

function noneUsable(state: ClusterState): PickResult {
  const { name } = state.cluster;
  const endpoints = state.present();
  if (endpoints.length === 0)
    return { kind: "none", reason: "no-endpoints", message: `cluster ${name} has no endpoints` };
  const ejected = endpoints.filter(({ outlier }) => outlier.phase !== "in").length;
  const message = `of ${endpoints.length} endpoints of cluster ${name} none is healthy (${ejected} ejected for failing)`;
  return { kind: "none", reason: "all-unhealthy", message };
}

function ownToken(token: PickToken): Token {
  if (token instanceof Token) return token;
  throw new TypeError("expected a token of pick");
}
