/**
 * The trace a request belongs to, read off its headers and written onto what goes upstream. Pure.
 *
 * Spec: W3C Trace Context Level 2, sections 3 and 4; B3 as Zipkin has it (see `b3.ts`).
 */
import type { HeaderList } from "@ambit/shared/http2";
import type { Random } from "@ambit/shared/time";
import { B3_HEADERS, type B3Form, formatB3, parseB3 } from "./b3.ts";
import type { Tracing } from "./model.ts";
import { randomHex, randomSpanId } from "./random-ids.ts";
import { formatTraceparent, parseTraceparent, type TraceParent } from "./traceparent.ts";
import { parseTracestate } from "./tracestate.ts";

/** The trace of one request at this proxy. */
export interface RequestTrace {
  readonly traceId: string;
  /** Of our server span. */
  readonly spanId: string;
  /** Of the caller's span; undefined when the trace begins here. */
  readonly parentSpanId: string | undefined;
  readonly sampled: boolean;
  readonly randomId: boolean;
  /** In its normal form; undefined = none, or it was invalid. */
  readonly tracestate: string | undefined;
  /** How the caller wrote B3, if it did: only then is B3 written. */
  readonly b3: B3Form | undefined;
  readonly debug: boolean;
}

/** Header names that a trace is read from and that `withTrace` replaces. */
export const TRACE_HEADERS: ReadonlySet<string> = new Set(["traceparent", "tracestate", ...B3_HEADERS]);

interface Incoming {
  readonly parent: TraceParent | undefined;
  readonly tracestate: string | undefined;
  readonly b3: B3Form | undefined;
  /** A sampling decision that came without ids (`b3: 0`). */
  readonly decided: boolean | undefined;
  /** Ids without a decision, which only B3 can have: ours to take. */
  readonly undecided: boolean;
  readonly debug: boolean;
}

const NOTHING: Incoming = {
  parent: undefined,
  tracestate: undefined,
  b3: undefined,
  decided: undefined,
  undecided: false,
  debug: false,
};

/**
 * The trace of an arriving request: continued when a valid context came (W3C, then `b3`, then `X-B3-*`), begun otherwise.
 * An invalid or repeated `traceparent` restarts the trace and drops `tracestate`; an invalid `tracestate` drops itself.
 * Sampling follows the parent; a new trace is sampled by its id, so that every hop with the same rate agrees.
 *
 * @param tracing  undefined: nothing is configured, and `undefined` comes back (headers then pass as they are)
 *
 * Differs: the decision is not packed into `x-request-id` as Istio's Envoy does; `traceparent` carries it.
 */
export function startTrace(
  headers: HeaderList,
  tracing: Pick<Tracing, "samplePerMillion"> | undefined,
  random: Random,
): RequestTrace | undefined {
  if (tracing === undefined) return undefined;
  const { parent, tracestate, b3, decided, undecided, debug } = readIncoming(headers);
  const spanId = randomSpanId(random);
  if (parent !== undefined) {
    const { traceId, randomId } = parent;
    const sampled = parent.sampled || (undecided && isSampled(traceId, tracing.samplePerMillion));
    return { traceId, spanId, parentSpanId: parent.spanId, sampled, randomId, tracestate, b3, debug };
  }
  const traceId = randomHex(32, random);
  const sampled = decided ?? isSampled(traceId, tracing.samplePerMillion);
  return { traceId, spanId, parentSpanId: undefined, sampled, randomId: true, tracestate: undefined, b3, debug };
}

/**
 * The context that came, for logs of a proxy that does not take part in tracing. Valid W3C or B3 only.
 */
export function readTrace(headers: HeaderList): TraceParent | undefined {
  return readIncoming(headers).parent;
}

function readIncoming(headers: HeaderList): Incoming {
  const own = headers.filter(([name]) => TRACE_HEADERS.has(name));
  if (own.length === 0) return NOTHING;
  const b3 = parseB3(own);
  const lines = own.filter(([name]) => name === "traceparent");
  if (lines.length === 0) {
    const { form, parent, decided, debug } = b3;
    return { parent, tracestate: undefined, b3: form, decided, undecided: decided === undefined, debug };
  }
  const parent = lines.length === 1 ? parseTraceparent(lines[0]?.[1] ?? "") : undefined;
  if (parent === undefined) return { ...NOTHING, b3: b3.form };
  const states = own.filter(([name]) => name === "tracestate").map(([, value]) => value);
  return { ...NOTHING, parent, tracestate: parseTracestate(states), b3: b3.form, debug: b3.debug };
}

/**
 * A request's headers with the trace for one upstream attempt: `traceparent` always, `tracestate` when it was valid, B3 in
 * the form it came. Without a trace the headers are returned as they are.
 *
 * @param spanId  of the attempt's client span
 */
export function withTrace(headers: HeaderList, trace: RequestTrace | undefined, spanId: string): HeaderList {
  if (trace === undefined) return headers;
  const kept = headers.filter(([name]) => !TRACE_HEADERS.has(name));
  const context: TraceParent = { ...trace, spanId };
  const state = trace.tracestate === undefined ? [] : ([["tracestate", trace.tracestate]] as const);
  const b3 = trace.b3 === undefined ? [] : formatB3(trace.b3, { ...context, debug: trace.debug }, trace.spanId);
  return [...kept, ["traceparent", formatTraceparent(context)], ...state, ...b3];
}

/**
 * Whether a new trace is sampled: the right-most 56 random bits of its id against a threshold, so that two proxies with the
 * same rate decide alike. Precision is 52 bits.
 */
export function isSampled(traceId: string, perMillion: number): boolean {
  const position = Number.parseInt(traceId.slice(18, 31), 16) / 2 ** 52;
  return position >= 1 - perMillion / 1_000_000;
}
