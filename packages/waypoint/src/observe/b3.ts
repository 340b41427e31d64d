/** Zipkin's B3 headers, single and multi: accepted, and written to whoever wrote them. Pure. */
import type { HeaderList } from "@ambit/shared/http2";
import type { TraceParent } from "./traceparent.ts";

export type B3Form = "single" | "multi";

/** All names B3 uses. */
export const B3_HEADERS = [
  "b3",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "x-b3-sampled",
  "x-b3-flags",
] as const;

/** What B3 said. */
export interface B3 {
  /** How it was written; undefined = not at all. Malformed counts: the caller speaks it. */
  readonly form: B3Form | undefined;
  /** Absent when ids are missing or malformed. */
  readonly parent: TraceParent | undefined;
  /** A decision without ids, such as `b3: 0`; undefined = up to us. */
  readonly decided: boolean | undefined;
  readonly debug: boolean;
}

const SINGLE = /^([0-9a-f]{32}|[0-9a-f]{16})-([0-9a-f]{16})(?:-([01d])(?:-([0-9a-f]{16}))?)?$/i;
const NOTHING: B3 = { form: undefined, parent: undefined, decided: undefined, debug: false };

/** Reads `b3`, else `X-B3-*`. Total: never throws. Spec: openzipkin/b3-propagation. */
export function parseB3(headers: HeaderList): B3 {
  const single = onlyValue(headers, "b3");
  if (single !== undefined) {
    const read = parseSingle(single);
    if (read !== undefined) return read;
  }
  const multi = parseMulti(headers);
  return single !== undefined && multi.form === undefined ? { ...NOTHING, form: "single" } : multi;
}

function parseSingle(text: string): B3 | undefined {
  if (/^[01d]$/i.test(text)) {
    return { form: "single", parent: undefined, decided: text !== "0", debug: text.toLowerCase() === "d" };
  }
  const [, traceId, spanId, flag] = SINGLE.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  return withIds("single", { traceId, spanId, sampled: flag === undefined ? undefined : flag !== "0" }, isDebug(flag));
}

const isDebug = (flag: string | undefined): boolean => flag?.toLowerCase() === "d";

function parseMulti(headers: HeaderList): B3 {
  const value = (name: (typeof B3_HEADERS)[number]): string | undefined => onlyValue(headers, name);
  if (!headers.some(([name]) => name.startsWith("x-b3-"))) return NOTHING;
  const debug = value("x-b3-flags") === "1";
  const sampled = debug ? true : readSampled(value("x-b3-sampled"));
  const traceId = value("x-b3-traceid");
  const spanId = value("x-b3-spanid");
  const wellFormed = /^([0-9a-f]{32}|[0-9a-f]{16})$/i.test(traceId ?? "") && /^[0-9a-f]{16}$/i.test(spanId ?? "");
  if (!wellFormed) return { form: "multi", parent: undefined, decided: sampled, debug };
  return withIds("multi", { traceId: traceId ?? "", spanId: spanId ?? "", sampled }, debug);
}

/** `true` and `false` are from before the specification. */
function readSampled(text: string | undefined): boolean | undefined {
  if (text === "1" || text === "true") return true;
  return text === "0" || text === "false" ? false : undefined;
}

/** Ids without a decision leave it to the receiver (`decided` undefined). */
function withIds(
  form: B3Form,
  ids: { readonly traceId: string; readonly spanId: string; readonly sampled: boolean | undefined },
  debug: boolean,
): B3 {
  const traceId = ids.traceId.toLowerCase().padStart(32, "0");
  const spanId = ids.spanId.toLowerCase();
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return { form, parent: undefined, decided: ids.sampled, debug };
  const parent = { traceId, spanId, sampled: debug || ids.sampled === true, randomId: false };
  return { form, parent, decided: ids.sampled, debug };
}

/** A repeated field is ambiguous, and reads as absent. */
function onlyValue(headers: HeaderList, wanted: string): string | undefined {
  let found: string | undefined;
  for (const [name, value] of headers) {
    if (name !== wanted) continue;
    if (found !== undefined) return undefined;
    found = value;
  }
  return found;
}

/**
 * B3 headers of a context. A 64-bit trace id that was padded for W3C is written as it came.
 *
 * @param parentSpanId  span above `context.spanId`
 */
export function formatB3(
  form: B3Form,
  context: TraceParent & { readonly debug: boolean },
  parentSpanId: string,
): HeaderList {
  const traceId = context.traceId.startsWith("0".repeat(16)) ? context.traceId.slice(16) : context.traceId;
  const { spanId, sampled, debug } = context;
  if (form === "single") {
    return [["b3", `${traceId}-${spanId}-${debug ? "d" : sampled ? "1" : "0"}-${parentSpanId}`]];
  }
  return [
    ["x-b3-traceid", traceId],
    ["x-b3-spanid", spanId],
    ["x-b3-parentspanid", parentSpanId],
    debug ? ["x-b3-flags", "1"] : ["x-b3-sampled", sampled ? "1" : "0"],
  ];
}
