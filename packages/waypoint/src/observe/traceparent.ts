/** The `traceparent` header. Pure. Spec: W3C Trace Context Level 2, 3.2. */

/** What `traceparent` says. */
export interface TraceParent {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string;
  readonly sampled: boolean;
  /** The right-most 56 bits of the trace id are random (Level 2). */
  readonly randomId: boolean;
}

const SHAPE = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const VERSION_00_CHARS = 55;
const SAMPLED = 1;
const RANDOM = 2;

/**
 * Reads one `traceparent`. Absent for upper case, version ff, zero ids, a length other than 55 in version 00, and in later
 * versions anything but "-" behind the 55th character. Total: never throws.
 */
export function parseTraceparent(text: string): TraceParent | undefined {
  const [, version, traceId = "", spanId = "", flags = ""] = SHAPE.exec(text.slice(0, VERSION_00_CHARS)) ?? [];
  if (version === undefined || version === "ff" || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  if (text.length > VERSION_00_CHARS && (version === "00" || text[VERSION_00_CHARS] !== "-")) return undefined;
  const bits = Number.parseInt(flags, 16);
  return { traceId, spanId, sampled: (bits & SAMPLED) !== 0, randomId: (bits & RANDOM) !== 0 };
}

/** Version 00; flags beyond sampled and random are 0. */
export function formatTraceparent({ traceId, spanId, sampled, randomId }: TraceParent): string {
  return `00-${traceId}-${spanId}-0${(sampled ? SAMPLED : 0) | (randomId ? RANDOM : 0)}`;
}
