import type { Random } from "@ambit/shared/time";
import { EdfSchedule } from "./edf-schedule.ts";

/**
 * Weighted and smooth round robin: of the weights 5, 1, 1 the heavy one never has five turns in a row.
 *
 * @param weightOf  read at each turn: slow start makes it grow
 *
 * Parity: Envoy ROUND_ROBIN.
 */
export function createRoundRobin(count: number, weightOf: (index: number) => number, random: Random): () => number {
  const schedule = new EdfSchedule(count, weightOf, random);
  return () => schedule.next();
}
