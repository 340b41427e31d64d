/**
 * Which endpoints are left out because of how they answered: a reducer over one endpoint's outcomes, and the rules of how
 * many may be out at once. Pure; the clock is an argument (monotonic milliseconds).
 *
 *   in -- enough consecutive failures --> ejected -- its time is over --> probing
 *   probing -- the probe succeeds --> in          probing -- it fails --> ejected, for longer
 *
 * Parity: Envoy's consecutive detectors, base time times the number of ejections, maximum percent.
 * Differs: a returning endpoint gets one probe before it gets its share (Envoy puts it back and needs as many failures
 * again); one endpoint may always be ejected (with the default of 10 % a service of less than ten would have no
 * ejection at all); and never the last one.
 */
import type { OutlierDetection, StatisticalDetector } from "./model.ts";

/** How a request to an endpoint ended, as far as its health goes. */
export type AttemptResult =
  /** Any answer that is not a server error. */
  | "success"
  /** 5xx other than these three. */
  | "server-error"
  /** 502, 503, 504. */
  | "gateway-error"
  /** Connection, TLS, reset, timeout: what no answer of the endpoint says. */
  | "local-failure"
  /** We gave it up: says nothing of the endpoint. */
  | "cancelled";

export type EjectionReason =
  | "consecutive-5xx"
  | "consecutive-gateway-errors"
  | "consecutive-local-failures"
  | StatisticalDetector["rule"]["kind"];

export interface OutlierState {
  readonly phase: "in" | "ejected" | "probing";
  readonly consecutive5xx: number;
  readonly consecutiveGatewayErrors: number;
  readonly consecutiveLocalFailures: number;
  /** Of which the length of the next ejection depends; falls by one for each interval spent in. */
  readonly ejections: number;
  /** When the ejection ends ("ejected"), or when the endpoint came back ("in"); 0 at first. */
  readonly sinceMs: number;
  readonly reason: EjectionReason | undefined;
}

export const NEVER_EJECTED: OutlierState = {
  phase: "in",
  consecutive5xx: 0,
  consecutiveGatewayErrors: 0,
  consecutiveLocalFailures: 0,
  ejections: 0,
  sinceMs: 0,
  reason: undefined,
};

/** The state after an outcome, and why the endpoint should be ejected, if it should. Without effect unless "in". */
export function applyOutcome(
  state: OutlierState,
  result: AttemptResult,
  config: OutlierDetection,
): { readonly state: OutlierState; readonly ejects: EjectionReason | undefined } {
  if (state.phase !== "in" || result === "cancelled") return { state, ejects: undefined };
  const next = count(state, result, config.splitsLocalErrors);
  return { state: next, ejects: thresholdReached(next, config) };
}

/** Whether one more may go: never the last that serves, one always, more up to the maximum percent. */
export function mayEject(
  pool: { readonly total: number; readonly ejected: number; readonly serving: number },
  config: OutlierDetection,
): boolean {
  if (pool.serving <= 1) return false;
  return pool.ejected === 0 || (100 * (pool.ejected + 1)) / pool.total <= config.maximumEjectionPercent;
}

/** Ejects; how long grows with each ejection. */
export function eject(
  state: OutlierState,
  reason: EjectionReason,
  config: OutlierDetection,
  nowMs: number,
): OutlierState {
  const ejections = ejectionsLeft(state, config, nowMs) + 1;
  return { ...NEVER_EJECTED, phase: "ejected", ejections, reason, sinceMs: nowMs + ejectionMs(config, ejections) };
}

/** Spec: base * ejections, at most the larger of base and maximum. */
export function ejectionMs(config: OutlierDetection, ejections: number): number {
  return Math.min(config.baseEjectionMs * ejections, Math.max(config.maximumEjectionMs, config.baseEjectionMs));
}

/** Whether an ejected endpoint should get its probe now. */
export function probeIsDue(state: OutlierState, nowMs: number): boolean {
  return state.phase === "ejected" && nowMs >= state.sinceMs;
}

export function beginProbe(state: OutlierState): OutlierState {
  return { ...state, phase: "probing" };
}

/** After the one probe: in, or ejected again; a probe that we gave up leaves the next one due. */
export function applyProbeResult(
  state: OutlierState,
  result: AttemptResult,
  config: OutlierDetection,
  nowMs: number,
): OutlierState {
  if (result === "cancelled") return { ...state, phase: "ejected", sinceMs: nowMs };
  if (result === "success") return { ...NEVER_EJECTED, ejections: state.ejections, sinceMs: nowMs };
  const ejections = state.ejections + 1;
  return { ...state, phase: "ejected", ejections, sinceMs: nowMs + ejectionMs(config, ejections) };
}

function ejectionsLeft(state: OutlierState, config: OutlierDetection, nowMs: number): number {
  if (config.intervalMs <= 0) return state.ejections;
  return Math.max(0, state.ejections - Math.floor((nowMs - state.sinceMs) / config.intervalMs));
}

/** Without a split, a local failure counts like a 503. With it, an answer of any kind ends a run of local failures. */
function count(state: OutlierState, result: AttemptResult, splits: boolean): OutlierState {
  if (result === "local-failure" && splits) {
    return { ...state, consecutiveLocalFailures: state.consecutiveLocalFailures + 1 };
  }
  const answered = { ...state, consecutiveLocalFailures: 0 };
  if (result === "success") return { ...answered, consecutive5xx: 0, consecutiveGatewayErrors: 0 };
  const isGatewayError = result !== "server-error";
  return {
    ...answered,
    consecutive5xx: state.consecutive5xx + 1,
    consecutiveGatewayErrors: isGatewayError ? state.consecutiveGatewayErrors + 1 : 0,
  };
}

/** A threshold stays reached until a success, so an ejection that was held back is asked for again. */
function thresholdReached(state: OutlierState, config: OutlierDetection): EjectionReason | undefined {
  const reached = (consecutive: number, threshold: number) => threshold > 0 && consecutive >= threshold;
  if (reached(state.consecutiveLocalFailures, config.consecutiveLocalFailures)) return "consecutive-local-failures";
  if (reached(state.consecutiveGatewayErrors, config.consecutiveGatewayErrors)) return "consecutive-gateway-errors";
  return reached(state.consecutive5xx, config.consecutive5xx) ? "consecutive-5xx" : undefined;
}
