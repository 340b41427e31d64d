/**
 * Field names: checked, lower-cased and classified once, then remembered, because the same twenty come with every
 * request. Pure but for the bounded memory.
 */

/** What the codec does with a field. */
export const FieldKind = {
  /** Passed on. */
  ORDINARY: 0,
  HOST: 1,
  CONTENT_LENGTH: 2,
  TRANSFER_ENCODING: 3,
  CONNECTION: 4,
  UPGRADE: 5,
  EXPECT: 6,
  TE: 7,
  /** Belongs to one connection; dropped. RFC 9110 section 7.6.1. */
  HOP: 8,
} as const;
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

export interface FieldName {
  /** Lower case. */
  readonly name: string;
  readonly kind: FieldKind;
  readonly hasUnderscore: boolean;
}

/** RFC 9110 section 5.6.2. */
export const TOKEN: RegExp = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

const KINDS: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  ["host", FieldKind.HOST],
  ["content-length", FieldKind.CONTENT_LENGTH],
  ["transfer-encoding", FieldKind.TRANSFER_ENCODING],
  ["connection", FieldKind.CONNECTION],
  ["upgrade", FieldKind.UPGRADE],
  ["expect", FieldKind.EXPECT],
  ["te", FieldKind.TE],
  ["keep-alive", FieldKind.HOP],
  ["proxy-connection", FieldKind.HOP],
  ["http2-settings", FieldKind.HOP],
]);

/** Names that are remembered from the start, so that garbage sent early cannot crowd them out. */
const COMMON = [
  ...KINDS.keys(),
  "accept",
  "accept-encoding",
  "accept-language",
  "authorization",
  "baggage",
  "cache-control",
  "content-encoding",
  "content-type",
  "cookie",
  "date",
  "etag",
  "forwarded",
  "last-modified",
  "location",
  "origin",
  "referer",
  "sec-websocket-accept",
  "sec-websocket-key",
  "server",
  "set-cookie",
  "traceparent",
  "tracestate",
  "trailer",
  "user-agent",
  "vary",
  "x-envoy-upstream-service-time",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-request-id",
];
const MAX_REMEMBERED = 1024;
const MAX_REMEMBERED_CHARS = 40;

const remembered = new Map<string, FieldName>();
for (const name of COMMON) {
  remembered.set(name, classify(name));
  const canonical = name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
  remembered.set(canonical, classify(name));
}

/** @returns undefined when `raw` is no token */
export function fieldNameOf(raw: string): FieldName | undefined {
  const known = remembered.get(raw);
  if (known !== undefined) return known;
  if (!TOKEN.test(raw)) return undefined;
  const field = classify(raw.toLowerCase());
  if (remembered.size < MAX_REMEMBERED && raw.length <= MAX_REMEMBERED_CHARS) remembered.set(detached(raw), field);
  return field;
}

function classify(name: string): FieldName {
  return { name: detached(name), kind: KINDS.get(name) ?? FieldKind.ORDINARY, hasUnderscore: name.includes("_") };
}

/** A substring would keep the whole head that it was cut from alive. */
function detached(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}
