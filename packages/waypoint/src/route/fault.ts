/** Decides which faults a request is to meet. Pure: the draws come from the given random. */
import type { Random } from "@ambit/shared/time";
import { draws } from "./match-route.ts";
import type { FaultPolicy } from "./model.ts";

export interface Fault {
  /** Wait so long first; 0 = not at all. */
  readonly delayMs: number;
  /** Then answer with this instead of forwarding. */
  readonly abort: NonNullable<FaultPolicy["abort"]>["status"] | undefined;
}

/** The faults of one request; delay and abort are drawn independently. Parity: Envoy's fault filter */
export function decideFault(policy: FaultPolicy, random: Random): Fault | undefined {
  const delayMs = policy.delay && draws(policy.delay.perMillion, random) ? policy.delay.ms : 0;
  const abort = policy.abort && draws(policy.abort.perMillion, random) ? policy.abort.status : undefined;
  return delayMs === 0 && abort === undefined ? undefined : { delayMs, abort };
}
