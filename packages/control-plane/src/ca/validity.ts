/** When an issued certificate is valid. Pure; ms since the epoch. */

/** For nodes whose clock is behind ours. */
const BACKDATE_MS = 120_000;

export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface ValidityLimits {
  /** Longest lifetime issued; also what a request for 0 seconds gets. */
  readonly maxTtlMs: number;
  /** The signing CA's own. */
  readonly ca: Validity;
}

/** min(requested, max) from now, starting two minutes ago, and never beyond the CA's own validity. */
export function decideValidity(requestedSeconds: number, nowMs: number, limits: ValidityLimits): Validity {
  const requestedMs = requestedSeconds > 0 ? requestedSeconds * 1_000 : limits.maxTtlMs;
  return {
    notBefore: Math.max(nowMs - BACKDATE_MS, limits.ca.notBefore),
    notAfter: Math.min(nowMs + Math.min(requestedMs, limits.maxTtlMs), limits.ca.notAfter),
  };
}
