/**
 * The algorithms that look at load and weight, bound to the endpoints of one group. A chooser never changes its members;
 * a cursor or a schedule is all it remembers. Hashing is apart: it needs the request (hash-table.ts).
 */
import type { Random } from "@ambit/shared/time";
import { leastOfChoices, leastRequestWeight } from "./least-request.ts";
import type { LiveEndpoint } from "./live-endpoint.ts";
import type { Algorithm, SlowStart } from "./model.ts";
import { decayedLatency, medianLatency, peakEwmaCost } from "./peak-ewma.ts";
import { createRandomChoice } from "./random.ts";
import { createRoundRobin } from "./round-robin.ts";

export interface ChooserInit {
  /** At least one. */
  readonly members: readonly LiveEndpoint[];
  readonly slowStart: SlowStart | undefined;
  readonly random: Random;
}

/** Index of the member that the algorithm picks now (monotonic milliseconds). */
export type Chooser = (nowMs: number) => number;

export function createChooser(algorithm: Algorithm, init: ChooserInit): Chooser {
  switch (algorithm.kind) {
    case "least-request":
      return leastRequestChooser(algorithm, init);
    case "peak-ewma":
      return peakEwmaChooser(algorithm, init);
    case "round-robin":
      return scheduledChooser(init, (member, nowMs) => member.weightAt(nowMs, init.slowStart));
    // A request without a hash has no place of its own: any endpoint will do.
    case "ring-hash":
    case "maglev":
    case "random":
      return createRandomChoice(
        init.members.map((member) => member.endpoint.weight),
        init.random,
      );
    default:
      return algorithm satisfies never;
  }
}

/** Of a few, the one with the fewest requests; by schedule while weights differ, since few draws cannot respect weights. */
function leastRequestChooser(algorithm: Extract<Algorithm, { kind: "least-request" }>, init: ChooserInit): Chooser {
  const { members, slowStart, random } = init;
  const byWeight = lazily(() =>
    scheduledChooser(init, (member, nowMs) =>
      leastRequestWeight(member.weightAt(nowMs, slowStart), member.active, algorithm.activeRequestBias),
    ),
  );
  const activeOf = (index: number): number => members[index]!.active;
  const sameWeights = haveSameWeights(members);
  const warmsUntilMs = warmsUntil(init);
  return (nowMs) =>
    sameWeights && nowMs >= warmsUntilMs
      ? leastOfChoices(members.length, algorithm.choices, activeOf, random)
      : byWeight()(nowMs);
}

/** How old the median for endpoints without a sample may be: it is O(n log n) to take. */
const MEDIAN_TTL_MS = 1_000;

/** Of two, the one that is expected to answer first. */
function peakEwmaChooser(algorithm: Extract<Algorithm, { kind: "peak-ewma" }>, init: ChooserInit): Chooser {
  const { members, slowStart, random } = init;
  const { decayMs } = algorithm;
  let atMs = 0;
  let medianMs = 0;
  let medianAtMs = Number.NEGATIVE_INFINITY;
  const latencyOf = (member: LiveEndpoint): number =>
    member.latencyMs === undefined ? Number.NaN : decayedLatency(member.latencyMs, atMs - member.latencyAtMs, decayMs);
  const coldMs = (): number => {
    if (atMs - medianAtMs < MEDIAN_TTL_MS) return medianMs;
    medianAtMs = atMs;
    medianMs = medianLatency(members.map(latencyOf).filter((latencyMs) => !Number.isNaN(latencyMs)));
    return medianMs;
  };
  const costOf = (index: number): number => {
    const member = members[index]!;
    const latencyMs = latencyOf(member);
    const weight = member.weightAt(atMs, slowStart);
    return peakEwmaCost(Number.isNaN(latencyMs) ? coldMs() : latencyMs, member.active, weight);
  };
  return (nowMs) => {
    atMs = nowMs;
    return leastOfChoices(members.length, 2, costOf, random);
  };
}

function scheduledChooser(init: ChooserInit, weightOf: (member: LiveEndpoint, nowMs: number) => number): Chooser {
  const { members, random } = init;
  let atMs = 0;
  const next = lazily(() => createRoundRobin(members.length, (index) => weightOf(members[index]!, atMs), random));
  return (nowMs) => {
    atMs = nowMs;
    return next()();
  };
}

function haveSameWeights(members: readonly LiveEndpoint[]): boolean {
  return members.every((member) => member.endpoint.weight === members[0]?.endpoint.weight);
}

function warmsUntil({ members, slowStart }: ChooserInit): number {
  if (slowStart === undefined) return Number.NEGATIVE_INFINITY;
  return members.reduce((last, member) => Math.max(last, member.warmsSinceMs + slowStart.windowMs), 0);
}

function lazily<T>(create: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= create();
    return made;
  };
}
