/**
 * What a server says about trying again: Retry-After, X-RateLimit-Reset, grpc-retry-pushback-ms. Pure and total.
 *
 * Spec: RFC 9110 sections 10.2.3 and 5.6.7; gRPC proposal A6, "Pushback".
 */
import type { HeaderList } from "@ambit/shared/http2";
import { parseHttpDate } from "./http-date.ts";

export type ServerAdvice =
  | { readonly kind: "none" }
  | { readonly kind: "after"; readonly delayMs: number }
  /** It asks not to be tried again. */
  | { readonly kind: "never" };

const NONE: ServerAdvice = { kind: "none" };
const DELTA_SECONDS = /^\d{1,10}$/;
const PUSHBACK = /^\d{1,10}$/;
/** An X-RateLimit-Reset from here on is a time since the epoch (2001), under it a number of seconds. */
const EPOCH_SECONDS_FROM = 1_000_000_000;

/**
 * @param trailers  of an answer without a body; empty when there are none
 * @param nowMs     wall clock, since the epoch
 */
export function readServerAdvice(
  answer: { readonly status: number; readonly headers: HeaderList; readonly trailers: HeaderList },
  nowMs: number,
): ServerAdvice {
  const { status, headers, trailers } = answer;
  const pushback = firstOf(headers, "grpc-retry-pushback-ms") ?? firstOf(trailers, "grpc-retry-pushback-ms");
  // Spec: a value that is negative or no number means "do not".
  if (pushback !== undefined) {
    return PUSHBACK.test(pushback) ? { kind: "after", delayMs: Number(pushback) } : { kind: "never" };
  }
  const retryAfterMs = parseRetryAfter(firstOf(headers, "retry-after"), nowMs);
  if (retryAfterMs !== undefined) return { kind: "after", delayMs: retryAfterMs };
  // Many servers send the reset of their quota with every answer: it only matters when the quota is used up.
  const resetMs = status === 429 ? parseReset(firstOf(headers, "x-ratelimit-reset"), nowMs) : undefined;
  return resetMs === undefined ? NONE : { kind: "after", delayMs: resetMs };
}

/** Seconds or an HTTP date, as milliseconds from now; a date that is past is 0. Undefined when it is neither. */
export function parseRetryAfter(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  if (DELTA_SECONDS.test(text)) return Number(text) * 1_000;
  const atMs = parseHttpDate(text, nowMs);
  return atMs === undefined ? undefined : Math.max(0, atMs - nowMs);
}

function parseReset(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined || !DELTA_SECONDS.test(text)) return undefined;
  const seconds = Number(text);
  return seconds < EPOCH_SECONDS_FROM ? seconds * 1_000 : Math.max(0, seconds * 1_000 - nowMs);
}

function firstOf(headers: HeaderList, name: string): string | undefined {
  return headers.find(([key]) => key === name)?.[1].trim();
}
