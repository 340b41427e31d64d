import type { Random } from "../time/index.ts";

/** One end-to-end connection as the access logs of both ends name it. */
export interface TraceContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/;

/** Fresh random ids for a new user connection. */
export function newTraceContext(random: Random): TraceContext {
  return { traceId: randomHex(32, random), spanId: randomHex(16, random) };
}

/** Version 00, not sampled. Spec: W3C Trace Context 3.2. */
export function formatTraceparent(trace: TraceContext): string {
  return `00-${trace.traceId}-${trace.spanId}-00`;
}

/**
 * Reads version 00; absent for everything else (other length, version ff, upper case, all-zero ids). Total.
 *
 * Differs: ztunnel indexes past the end on 55 characters with too few dashes; here any text gives an answer.
 */
export function parseTraceparent(text: string): TraceContext | undefined {
  const match = TRACEPARENT.exec(text);
  const [, version, traceId = "", spanId = ""] = match ?? [];
  if (version !== "00" || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId };
}

function randomHex(digits: number, random: Random): string {
  let text = "";
  while (text.length < digits) {
    text += Math.floor(random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, "0");
  }
  return /^0+$/.test(text) ? `${text.slice(1)}1` : text;
}
