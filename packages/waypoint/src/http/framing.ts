/** How long a body is: one decision, made once, from the head alone. Pure. Spec: RFC 9112 section 6. */
import { err, ok, type Result } from "@ambit/shared/errors";
import { type HttpFault, httpFault, shown } from "./http-fault.ts";

export type Framing =
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" }
  /** Responses only: until the connection ends. */
  | { readonly kind: "until-close" };

export interface FramingFields {
  readonly contentLengths: number;
  readonly contentLength: string;
  readonly transferEncodings: number;
  readonly transferEncoding: string;
}

const NONE: Framing = { kind: "length", bytes: 0 };
const CHUNKED: Framing = { kind: "chunked" };
const UNTIL_CLOSE: Framing = { kind: "until-close" };

/** 1*DIGIT up to 2^53-1; undefined otherwise. */
export function parseContentLength(text: string): number | undefined {
  if (!/^[0-9]{1,16}$/.test(text)) return undefined;
  const bytes = Number(text);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** @param version of the message: transfer codings do not exist in HTTP/1.0 */
export function requestFraming(fields: FramingFields, version: "HTTP/1.0" | "HTTP/1.1"): Result<Framing, HttpFault> {
  return declared(fields, version, NONE);
}

/** @param bodiless HEAD, 1xx, 204, 304: whatever the fields say, nothing follows (RFC 9112 section 6.3) */
export function responseFraming(
  fields: FramingFields,
  version: "HTTP/1.0" | "HTTP/1.1",
  bodiless: boolean,
): Result<Framing, HttpFault> {
  const framing = declared(fields, version, UNTIL_CLOSE);
  return framing.ok && bodiless ? ok(NONE) : framing;
}

function declared(fields: FramingFields, version: string, otherwise: Framing): Result<Framing, HttpFault> {
  if (fields.transferEncodings > 0) return chunked(fields, version);
  if (fields.contentLengths === 0) return ok(otherwise);
  if (fields.contentLengths > 1) return err(httpFault(400, "more than one Content-Length"));
  const bytes = parseContentLength(fields.contentLength);
  if (bytes === undefined) return err(httpFault(400, `Content-Length of ${shown(fields.contentLength)}`));
  return ok(bytes === 0 ? NONE : { kind: "length", bytes });
}

function chunked(fields: FramingFields, version: string): Result<Framing, HttpFault> {
  if (version === "HTTP/1.0") return err(httpFault(400, "Transfer-Encoding in HTTP/1.0"));
  if (fields.contentLengths > 0) return err(httpFault(400, "Content-Length and Transfer-Encoding together"));
  if (fields.transferEncodings > 1) return err(httpFault(400, "more than one Transfer-Encoding"));
  if (fields.transferEncoding.toLowerCase() === "chunked") return ok(CHUNKED);
  return err(httpFault(501, `Transfer-Encoding ${shown(fields.transferEncoding)}, only "chunked" is understood`));
}
