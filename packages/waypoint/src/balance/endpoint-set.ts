/**
 * The endpoints of a cluster by what may be done with them: made anew when membership or health changes, never for a
 * request. Immutable but for the load and latency that its endpoints carry.
 */
import type { LiveEndpoint } from "./live-endpoint.ts";
import { effectiveLocalityWeight, runningSums } from "./locality-load.ts";
import type { Cluster } from "./model.ts";
import { isPanicking } from "./panic.ts";
import { type PriorityHealth, type PriorityLoads, panicLoads, priorityLoads } from "./priority-load.ts";

/** Which endpoints of a priority are in play; "all" in panic. */
export type Mode = "healthy" | "degraded" | "all";

/** The endpoints of one locality as the control plane weights it. */
export interface LiveLocality {
  readonly weight: number;
  readonly members: readonly LiveEndpoint[];
}

/** One priority's endpoints of one mode: one group, or one a locality with the running sums of their weights. */
export interface Split {
  readonly groups: readonly (readonly LiveEndpoint[])[];
  readonly sums: Float64Array | undefined;
}

export interface Level {
  readonly localities: readonly LiveLocality[];
  readonly health: PriorityHealth;
  readonly isPanicking: boolean;
  readonly splits: Readonly<Record<Mode, Split>>;
}

/** A part of all requests, and where it goes. */
export interface Share {
  readonly level: number;
  readonly mode: Mode;
  /** Percent of this share and those before it. */
  readonly upToPercent: number;
}

export interface EndpointSet {
  readonly levels: readonly Level[];
  /** In order; none when nothing may be used. */
  readonly shares: readonly Share[];
  readonly total: number;
}

type SetConfig = Pick<Cluster, "overprovisioningPercent" | "panicThresholdPercent" | "localityWeighted">;

export function buildEndpointSet(config: SetConfig, priorities: readonly (readonly LiveLocality[])[]): EndpointSet {
  const healths = priorities.map(healthOf);
  const loads = priorityLoads(healths, config.overprovisioningPercent);
  const levels = priorities.map((localities, index) => buildLevel(config, localities, healths[index]!, loads));
  return {
    levels,
    shares: sharesOf(levels, loads),
    total: healths.reduce((sum, health) => sum + health.total, 0),
  };
}

function healthOf(localities: readonly LiveLocality[]): PriorityHealth {
  const health = { healthy: 0, degraded: 0, total: 0 };
  for (const { members } of localities) {
    for (const { standing } of members) {
      health.total += 1;
      if (standing !== "out") health[standing] += 1;
    }
  }
  return health;
}

function buildLevel(
  config: SetConfig,
  localities: readonly LiveLocality[],
  health: PriorityHealth,
  loads: PriorityLoads,
): Level {
  return {
    localities,
    health,
    isPanicking: isPanicking(health, config.panicThresholdPercent, loads.normalizedTotal),
    splits: {
      healthy: buildSplit(config, localities, "healthy"),
      degraded: buildSplit(config, localities, "degraded"),
      // Parity: in panic Envoy spreads over the whole priority and leaves localities out of it.
      all: oneGroup(localities.flatMap(({ members }) => members)),
    },
  };
}

function buildSplit(config: SetConfig, localities: readonly LiveLocality[], mode: "healthy" | "degraded"): Split {
  const groups = localities.map(({ members }) => members.filter((member) => member.standing === mode));
  const weights = localities.map(({ weight, members }, index) =>
    effectiveLocalityWeight(
      weight,
      { available: groups[index]!.length, total: members.length },
      config.overprovisioningPercent,
    ),
  );
  const sums = runningSums(weights);
  // Parity: without any locality weight Envoy falls back to the priority as a whole.
  return config.localityWeighted && (sums.at(-1) ?? 0) > 0 ? { groups, sums } : oneGroup(groups.flat());
}

function oneGroup(members: readonly LiveEndpoint[]): Split {
  return { groups: [members], sums: undefined };
}

function sharesOf(levels: readonly Level[], loads: PriorityLoads): readonly Share[] {
  const usable = levels.filter(({ health }) => health.total > 0);
  const isTotalPanic = usable.length > 0 && usable.every((level) => level.isPanicking);
  const shares: Share[] = [];
  let upToPercent = 0;
  const give = (level: number, mode: Mode, percent: number): void => {
    if (percent === 0) return;
    upToPercent += percent;
    shares.push({ level, mode: levels[level]!.isPanicking ? "all" : mode, upToPercent });
  };
  if (isTotalPanic) {
    for (const [level, percent] of panicLoads(levels.map(({ health }) => health)).entries())
      give(level, "all", percent);
    return shares;
  }
  for (const [level, percent] of loads.healthy.entries()) give(level, "healthy", percent);
  for (const [level, percent] of loads.degraded.entries()) give(level, "degraded", percent);
  return shares;
}
