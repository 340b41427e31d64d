/** Which algorithm picks an endpoint. Spec: envoy.config.cluster.v3.Cluster.LbPolicy */
import {
  type Cluster as ClusterMessage,
  Cluster_LbPolicy as Policy,
  type Cluster_SlowStartConfig as SlowStartMessage,
} from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import type { Algorithm, SlowStart } from "../balance/model.ts";
import { at, InvalidField } from "./invalid-field.ts";
import { durationMs, structAt, textAt } from "./values.ts";

/** Envoy's bounds. */
const DEFAULT_MINIMUM_RING = 1024;
const MAXIMUM_RING = 8 * 1024 * 1024;
const DEFAULT_MAGLEV_TABLE = 65_537;
const MAXIMUM_MAGLEV_TABLE = 5_000_011;

/** Where our control plane says what Envoy's fields cannot; Envoy keeps metadata that it does not know. */
const OWN_METADATA = "ambit";

export function compileAlgorithm(message: ClusterMessage): Algorithm {
  const own = structAt(message.metadata?.filterMetadata[OWN_METADATA]);
  if (textAt(own, "load_balancer") === "PEAK_EWMA") {
    return {
      kind: "peak-ewma",
      decayMs: numberAt(own, "decay_ms", 10_000),
      failurePenaltyMs: numberAt(own, "failure_penalty_ms", 5_000),
    };
  }
  switch (message.lbPolicy) {
    case Policy.ROUND_ROBIN:
      return { kind: "round-robin" };
    case Policy.LEAST_REQUEST:
      return leastRequest(message);
    case Policy.RANDOM:
      return { kind: "random" };
    case Policy.RING_HASH:
      return at("ring_hash_lb_config", () => ringHash(message));
    case Policy.MAGLEV:
      return at("maglev_lb_config", () => maglev(message));
    // The original destination is the only endpoint there is.
    case Policy.CLUSTER_PROVIDED:
      return { kind: "random" };
    default:
      throw new InvalidField(`expected an algorithm that is supported, got ${message.lbPolicy}`, "lb_policy");
  }
}

function leastRequest({ lbConfig }: ClusterMessage): Algorithm {
  const config = lbConfig.case === "leastRequestLbConfig" ? lbConfig.value : undefined;
  const choices = config?.choiceCount ?? 2;
  if (!(choices >= 2))
    throw new InvalidField(`expected 2 or more, got ${choices}`, "least_request_lb_config.choice_count");
  return {
    kind: "least-request",
    choices: Math.min(choices, 100),
    activeRequestBias: Math.max(config?.activeRequestBias?.defaultValue ?? 1, 0),
  };
}

function ringHash({ lbConfig }: ClusterMessage): Algorithm {
  const config = lbConfig.case === "ringHashLbConfig" ? lbConfig.value : undefined;
  const minimumRing = Number(config?.minimumRingSize ?? DEFAULT_MINIMUM_RING);
  const maximumRing = Number(config?.maximumRingSize ?? MAXIMUM_RING);
  if (!(minimumRing >= 1 && minimumRing <= maximumRing && maximumRing <= MAXIMUM_RING)) {
    throw new InvalidField(
      `expected 1 <= minimum <= maximum <= ${MAXIMUM_RING}, got ${minimumRing} and ${maximumRing}`,
    );
  }
  return { kind: "ring-hash", minimumRing, maximumRing };
}

function maglev({ lbConfig }: ClusterMessage): Algorithm {
  const config = lbConfig.case === "maglevLbConfig" ? lbConfig.value : undefined;
  const tableSize = Number(config?.tableSize ?? DEFAULT_MAGLEV_TABLE);
  if (!(tableSize <= MAXIMUM_MAGLEV_TABLE && isPrime(tableSize))) {
    throw new InvalidField(`table_size: expected a prime of at most ${MAXIMUM_MAGLEV_TABLE}, got ${tableSize}`);
  }
  return { kind: "maglev", tableSize };
}

function isPrime(value: number): boolean {
  if (value < 2) return false;
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return true;
}

export function compileSlowStart({ lbConfig }: ClusterMessage): SlowStart | undefined {
  const isWeighted = lbConfig.case === "leastRequestLbConfig" || lbConfig.case === "roundRobinLbConfig";
  const config: SlowStartMessage | undefined = isWeighted ? lbConfig.value.slowStartConfig : undefined;
  const window = config?.slowStartWindow;
  if (config === undefined || window === undefined) return undefined;
  const aggression = config.aggression?.defaultValue ?? 1;
  if (!(aggression > 0))
    throw new InvalidField(`expected more than 0, got ${aggression}`, "slow_start_config.aggression");
  return {
    windowMs: at("slow_start_window", () => durationMs(window)),
    aggression,
    minimumWeightPercent: Math.min(Math.max(config.minWeightPercent?.value ?? 10, 0), 100),
  };
}

function numberAt(struct: Readonly<Record<string, unknown>> | undefined, key: string, absent: number): number {
  const value = struct?.[key];
  return typeof value === "number" && value > 0 && Number.isFinite(value) ? value : absent;
}
