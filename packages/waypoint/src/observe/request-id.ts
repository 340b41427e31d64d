/** `x-request-id`: one id by which the logs of all hops of a request are found. Pure. */
import type { HeaderList } from "@ambit/shared/http2";
import type { Random } from "@ambit/shared/time";
import { randomHex } from "./random-ids.ts";

export const REQUEST_ID_HEADER = "x-request-id";

/** Longest id that is kept: anything beyond is no id but a way to fill logs. */
const MAX_ID_CHARS = 256;
const VISIBLE = /^[!-~]+$/;

/**
 * The caller's id as it came, when it is one field of visible ASCII; a fresh UUID (version 4) otherwise.
 *
 * Parity: Envoy preserve_external_request_id at an internal hop. Differs: no trace decision is packed into it.
 */
export function requestIdOf(headers: HeaderList, random: Random): string {
  let found: string | undefined;
  for (const [name, value] of headers) {
    if (name !== REQUEST_ID_HEADER) continue;
    if (found !== undefined) return randomUuid(random);
    found = value;
  }
  return found !== undefined && found.length <= MAX_ID_CHARS && VISIBLE.test(found) ? found : randomUuid(random);
}

/** Headers with exactly this id. */
export function withRequestId(headers: HeaderList, id: string): HeaderList {
  const same = headers.filter(([name]) => name === REQUEST_ID_HEADER);
  if (same.length === 1 && same[0]?.[1] === id) return headers;
  return [...headers.filter(([name]) => name !== REQUEST_ID_HEADER), [REQUEST_ID_HEADER, id]];
}

/** Spec: RFC 9562 section 5.4. */
function randomUuid(random: Random): string {
  const hex = randomHex(32, random);
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
}
