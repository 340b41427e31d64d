/** Envoy's response flags: their long names, and one bit each for cheap keys. Pure. */
import type { ResponseFlag } from "./model.ts";

export const LONG_FLAGS: Readonly<Record<ResponseFlag, string>> = {
  UF: "UpstreamConnectionFailure",
  UH: "NoHealthyUpstream",
  UT: "UpstreamRequestTimeout",
  UC: "UpstreamConnectionTermination",
  UO: "UpstreamOverflow",
  UR: "UpstreamRemoteReset",
  LR: "LocalReset",
  URX: "UpstreamRetryLimitExceeded",
  NR: "NoRouteFound",
  NC: "NoClusterFound",
  DC: "DownstreamConnectionTermination",
  DI: "DelayInjected",
  FI: "FaultInjected",
  RL: "RateLimited",
  UAEX: "UnauthorizedExternalService",
  UPE: "UpstreamProtocolError",
  DPE: "DownstreamProtocolError",
  SI: "StreamIdleTimeout",
  IH: "InvalidEnvoyRequestHeaders",
  DT: "DurationTimeout",
  OM: "OverloadManagerTerminated",
  UMSDR: "UpstreamMaxStreamDurationReached",
  RLSE: "RateLimitServiceError",
  NFCF: "NoFilterConfigFound",
};

const BITS: Readonly<Record<ResponseFlag, number>> = Object.fromEntries(
  Object.keys(LONG_FLAGS).map((flag, index) => [flag, 2 ** index]),
) as Record<ResponseFlag, number>;

/** A number that is the same exactly for the same set of flags; below 2^24. */
export function flagBits(flags: readonly ResponseFlag[]): number {
  let bits = 0;
  for (const flag of flags) bits |= BITS[flag];
  return bits;
}
