import type { SlowStart } from "./model.ts";

/**
 * Share of its weight that an endpoint of some age gets while it warms up: from the minimum to 1 at the end of the
 * window. Pure.
 *
 * @param ageMs  since the endpoint joined the cluster or came back from an ejection
 *
 * Spec: max(minimum, (max(age, 1) / window) ^ (1 / aggression)), age and window in seconds.
 * Parity: Envoy SlowStartConfig.
 */
export function slowStartFactor(config: SlowStart, ageMs: number): number {
  if (ageMs >= config.windowMs) return 1;
  const time = Math.max(ageMs, 1_000) / config.windowMs;
  const aggression = config.aggression > 0 ? config.aggression : 1;
  return Math.min(1, Math.max(config.minimumWeightPercent / 100, time ** (1 / aggression)));
}
