import type { ErrorCode } from "@ambit/shared/errors";

/** How a relay ended: without `code` both directions were closed in order. */
export interface RelayEnd {
  readonly code?: ErrorCode;
  readonly message?: string;
  /** `namespace/name` of the policy that cut it. */
  readonly policy?: string;
}

/** Told exactly once, after both ends are closed. */
export interface RelayObserver {
  relayEnded(end: RelayEnd): void;
}

/** What the tracker and the report need of a running relay, whatever it joins. */
export interface Relay {
  readonly bytesFromDownstream: number;
  readonly bytesFromUpstream: number;
  cut(end: RelayEnd): void;
}
