/**
 * The life of one cluster: its endpoints' load, latency and ejections, and the picker made of them. State stays with
 * an endpoint's key across updates; an endpoint that leaves is kept until its last request is over.
 */
import type { Random } from "@ambit/shared/time";
import { type AttemptOutcome, isFailure } from "./attempt-outcome.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";
import { buildEndpointSet, type EndpointSet, type LiveLocality } from "./endpoint-set.ts";
import { LevelTables } from "./level-tables.ts";
import { LiveEndpoint } from "./live-endpoint.ts";
import type { Cluster, Endpoint, LocalityEndpoints, OutlierDetection } from "./model.ts";
import {
  type AttemptResult,
  applyOutcome,
  applyProbeResult,
  beginProbe,
  type EjectionReason,
  eject,
  mayEject,
  NEVER_EJECTED,
  probeIsDue,
} from "./outlier-detection.ts";
import { outliersOf } from "./outlier-statistics.ts";
import { observeLatency } from "./peak-ewma.ts";
import { Picker, type PickOptions } from "./picker.ts";
import { sessionOf } from "./session.ts";

/** Something that operators want to know of an endpoint. */
export type EndpointEvent =
  | {
      readonly kind: "ejected";
      readonly cluster: string;
      readonly endpoint: string;
      readonly reason: EjectionReason;
      readonly durationMs: number;
    }
  | { readonly kind: "probed"; readonly cluster: string; readonly endpoint: string }
  | { readonly kind: "returned"; readonly cluster: string; readonly endpoint: string };

/** Parity: Linkerd's cap on how long a server may ask to be left alone. */
const MAXIMUM_PENALTY_MS = 300_000;

export class ClusterState {
  readonly breaker: CircuitBreaker;
  #cluster: Cluster;
  readonly #random: Random;
  readonly #onEvent: (event: EndpointEvent) => void;
  readonly #endpoints = new Map<string, LiveEndpoint>();
  #sessions: Map<string, LiveEndpoint> | undefined;
  readonly #tables = new LevelTables();
  #priorities: readonly (readonly LiveLocality[])[] = [];
  /** Undefined after a change of membership or health, until the next pick. */
  #picker: Picker | undefined;
  /** When the first ejected endpoint should be probed. */
  #probeDueMs = Number.POSITIVE_INFINITY;
  #intervalEndsMs = 0;

  constructor(
    cluster: Cluster,
    init: { readonly random: Random; readonly nowMs: number; readonly onEvent: (event: EndpointEvent) => void },
  ) {
    this.#cluster = cluster;
    this.#random = init.random;
    this.#onEvent = init.onEvent;
    this.breaker = new CircuitBreaker(cluster.circuitBreakers);
    this.#join(init.nowMs);
  }

  get cluster(): Cluster {
    return this.#cluster;
  }

  /** With a cluster's new configuration; cheap when it is the same object. */
  update(cluster: Cluster, nowMs: number): void {
    if (cluster === this.#cluster) return;
    this.#cluster = cluster;
    this.breaker.configure(cluster.circuitBreakers);
    this.#join(nowMs);
    if (cluster.outlierDetection === undefined) {
      for (const live of this.#endpoints.values()) live.outlier = NEVER_EJECTED;
    }
    this.#healthChanged();
  }

  /** The endpoint for a request; undefined when none may be used. */
  pick(options: PickOptions, nowMs: number): LiveEndpoint | undefined {
    // A probe is a first attempt, so that its failure can still be retried elsewhere.
    const probe = options.tried.size === 0 && nowMs >= this.#probeDueMs ? this.#dueForProbe(options, nowMs) : undefined;
    return probe ?? this.#currentPicker().pick(options, nowMs);
  }

  /** A request goes to the endpoint. @returns whether it is its probe */
  start(live: LiveEndpoint, nowMs: number): boolean {
    live.active += 1;
    live.started += 1;
    if (!probeIsDue(live.outlier, nowMs)) return false;
    live.outlier = beginProbe(live.outlier);
    this.#scheduleProbes();
    this.#onEvent({ kind: "probed", cluster: this.#cluster.name, endpoint: live.key });
    return true;
  }

  /** What the endpoint's answer, or its absence, says of it. */
  judge(
    live: LiveEndpoint,
    outcome: AttemptOutcome,
    attempt: { startedMs: number; isProbe: boolean },
    nowMs: number,
  ): void {
    if (isFailure(outcome)) live.failed += 1;
    this.#observeLatency(live, outcome, nowMs - attempt.startedMs, nowMs);
    const config = this.#cluster.outlierDetection;
    if (config === undefined) return;
    if (attempt.isProbe && live.outlier.phase === "probing") {
      live.outlier = applyProbeResult(live.outlier, outcome.kind, config, nowMs);
      this.#probed(live, nowMs);
      return;
    }
    this.#count(live, outcome.kind, nowMs);
  }

  /** The request is over. */
  end(live: LiveEndpoint): void {
    live.active = Math.max(0, live.active - 1);
    if (!live.present && live.active === 0) this.#endpoints.delete(live.key);
  }

  get set(): EndpointSet {
    return this.#currentPicker().set;
  }

  /** Endpoints configured now. */
  present(): readonly LiveEndpoint[] {
    return this.#priorities.flatMap((localities) => localities.flatMap(({ members }) => members));
  }

  #count(live: LiveEndpoint, result: AttemptResult, nowMs: number): void {
    const config = this.#cluster.outlierDetection;
    if (config === undefined || !live.present) return;
    if (config.statistics.length > 0) this.#tally(live, result, config, nowMs);
    const { state, ejects } = applyOutcome(live.outlier, result, config);
    live.outlier = state;
    if (ejects !== undefined) this.#eject(live, ejects, config, nowMs);
  }

  /** Judges the interval that is over, if one is, and counts the result in the running one. */
  #tally(live: LiveEndpoint, result: AttemptResult, config: OutlierDetection, nowMs: number): void {
    if (nowMs >= this.#intervalEndsMs) {
      this.#intervalEndsMs = nowMs + config.intervalMs;
      const serving = this.present().filter(({ outlier }) => outlier.phase === "in");
      const outliers = outliersOf(
        serving.map((endpoint) => ({ endpoint, results: endpoint.interval })),
        config.statistics,
      );
      for (const endpoint of this.present()) endpoint.interval.clear();
      for (const { endpoint, reason } of outliers) this.#eject(endpoint, reason, config, nowMs);
    }
    if (live.outlier.phase === "in") live.interval.add(result, config.splitsLocalErrors);
  }

  #eject(live: LiveEndpoint, reason: EjectionReason, config: OutlierDetection, nowMs: number): void {
    if (!mayEject(this.#pool(), config)) return;
    live.outlier = eject(live.outlier, reason, config, nowMs);
    this.#healthChanged();
    const durationMs = live.outlier.sinceMs - nowMs;
    this.#onEvent({ kind: "ejected", cluster: this.#cluster.name, endpoint: live.key, reason, durationMs });
  }

  #probed(live: LiveEndpoint, nowMs: number): void {
    const { phase, reason, sinceMs } = live.outlier;
    if (phase === "in") {
      live.warmsSinceMs = nowMs;
      this.#healthChanged();
      this.#onEvent({ kind: "returned", cluster: this.#cluster.name, endpoint: live.key });
      return;
    }
    this.#scheduleProbes();
    const durationMs = sinceMs - nowMs;
    if (reason === undefined || durationMs === 0) return;
    this.#onEvent({ kind: "ejected", cluster: this.#cluster.name, endpoint: live.key, reason, durationMs });
  }

  #observeLatency(live: LiveEndpoint, outcome: AttemptOutcome, elapsedMs: number, nowMs: number): void {
    const { algorithm } = this.#cluster;
    if (algorithm.kind !== "peak-ewma") return;
    const { failurePenaltyMs } = algorithm;
    const rttMs = sampleOf(outcome, { elapsedMs, failurePenaltyMs, latencyMs: live.latencyMs ?? 0 });
    if (rttMs === undefined) return;
    const sample = { elapsedMs: nowMs - live.latencyAtMs, rttMs, decayMs: algorithm.decayMs };
    live.latencyMs = observeLatency(live.latencyMs, sample);
    live.latencyAtMs = nowMs;
  }

  #pool(): { total: number; ejected: number; serving: number } {
    const pool = { total: 0, ejected: 0, serving: 0 };
    for (const live of this.present()) {
      pool.total += 1;
      if (live.outlier.phase !== "in") pool.ejected += 1;
      if (live.standing !== "out") pool.serving += 1;
    }
    return pool;
  }

  /** A request that belongs to an endpoint probes that one only: it must not be led away from where its session is. */
  #dueForProbe({ hash }: PickOptions, nowMs: number): LiveEndpoint | undefined {
    const isDue = (live: LiveEndpoint): boolean =>
      live.endpoint.health !== "unhealthy" && probeIsDue(live.outlier, nowMs);
    const home = this.#currentPicker().homeOf(hash);
    if (home !== undefined) return isDue(home) ? home : undefined;
    return this.present().find(isDue);
  }

  #scheduleProbes(): void {
    this.#probeDueMs = Number.POSITIVE_INFINITY;
    for (const { outlier, endpoint } of this.present()) {
      if (outlier.phase !== "ejected" || endpoint.health === "unhealthy") continue;
      this.#probeDueMs = Math.min(this.#probeDueMs, outlier.sinceMs);
    }
  }

  #healthChanged(): void {
    this.#picker = undefined;
    this.#scheduleProbes();
  }

  #currentPicker(): Picker {
    if (this.#picker !== undefined) return this.#picker;
    const cluster = this.#cluster;
    const set = buildEndpointSet(cluster, this.#priorities);
    this.#picker = new Picker({
      set,
      algorithm: cluster.algorithm,
      slowStart: cluster.slowStart,
      random: this.#random,
      tableOf: (level) => this.#tables.tableOf(level, set.levels[level]!.localities, cluster),
    });
    return this.#picker;
  }

  /** Gives every configured endpoint its live state, by key; a key that comes twice counts once. */
  /** Made when a session is asked for the first time after a change of membership. */
  ofSession(session: string): LiveEndpoint | undefined {
    this.#sessions ??= new Map(
      [...this.#endpoints.values()].filter(({ present }) => present).map((live) => [sessionOf(live.endpoint), live]),
    );
    return this.#sessions.get(session);
  }

  #join(nowMs: number): void {
    this.#sessions = undefined;
    const seen = new Set<string>();
    const joinLocality = (priority: number, locality: LocalityEndpoints): LiveLocality => {
      const members: LiveEndpoint[] = [];
      for (const endpoint of locality.endpoints) {
        // A weight that is no positive number cannot be chosen by, and must not poison the sums.
        if (seen.has(endpoint.key) || !(endpoint.weight > 0)) continue;
        seen.add(endpoint.key);
        members.push(this.#liveOf(endpoint, priority, nowMs));
      }
      return { weight: locality.weight, members };
    };
    this.#priorities = this.#cluster.priorities.map((localities, priority) =>
      localities.map((locality) => joinLocality(priority, locality)),
    );
    for (const [key, live] of this.#endpoints) {
      if (seen.has(key)) continue;
      live.present = false;
      if (live.active === 0) this.#endpoints.delete(key);
    }
  }

  #liveOf(endpoint: Endpoint, priority: number, nowMs: number): LiveEndpoint {
    const known = this.#endpoints.get(endpoint.key);
    if (known !== undefined) {
      known.configure(endpoint, priority, nowMs);
      return known;
    }
    const live = new LiveEndpoint(endpoint, priority, nowMs);
    this.#endpoints.set(endpoint.key, live);
    return live;
  }
}

/** The latency that an outcome stands for; undefined when it says nothing of it. */
function sampleOf(
  outcome: AttemptOutcome,
  known: { readonly elapsedMs: number; readonly latencyMs: number; readonly failurePenaltyMs: number },
): number | undefined {
  const waitedMs = Math.min(outcome.firstByteMs ?? known.elapsedMs, MAXIMUM_PENALTY_MS);
  if (isFailure(outcome)) {
    return Math.max(waitedMs, known.failurePenaltyMs, Math.min(outcome.retryAfterMs ?? 0, MAXIMUM_PENALTY_MS));
  }
  // Giving up says only that the answer takes at least as long.
  if (outcome.kind === "cancelled") return waitedMs > known.latencyMs ? waitedMs : undefined;
  return outcome.firstByteMs;
}
