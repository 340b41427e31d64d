/** Which fields may come after the body. Pure. Spec: RFC 9110 section 6.5.1. */
import type { HeaderList } from "@ambit/shared/http2";

/** Framing, routing, request control, authentication and the handling of content: too late when the body is read. */
const FORBIDDEN: ReadonlySet<string> = new Set([
  "authorization",
  "cache-control",
  "connection",
  "cookie",
  "expect",
  "forwarded",
  "host",
  "http2-settings",
  "keep-alive",
  "max-forwards",
  "pragma",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "range",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "www-authenticate",
]);

export const isTrailerAllowed = (name: string): boolean =>
  !FORBIDDEN.has(name) &&
  !name.startsWith("content-") &&
  !name.startsWith("x-forwarded-") &&
  !name.startsWith("if-") &&
  !name.startsWith(":");

/** What of `trailers` may be passed on. */
export function allowedTrailers(trailers: HeaderList): HeaderList {
  return trailers.every(([name]) => isTrailerAllowed(name))
    ? trailers
    : trailers.filter(([name]) => isTrailerAllowed(name));
}
