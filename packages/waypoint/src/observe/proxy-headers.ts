/** Headers that a chain adds to what passes through it, or leaves alone. Pure. Spec: Envoy HttpConnectionManager, Router. */
import type { HeaderList } from "@ambit/shared/http2";
import { REQUEST_ID_HEADER, withRequestId } from "./request-id.ts";

export interface ProxyHeaders {
  /** Says `server` of every answer, whatever the application says; undefined: the application's own, or none. */
  readonly server: string | undefined;
  /** A request without an id is given one. */
  readonly givesRequestId: boolean;
  /** `x-envoy-upstream-service-time` of answers. */
  readonly tellsServiceTime: boolean;
  /** `x-forwarded-port` of requests that have none. */
  readonly tellsPort: boolean;
}

export const DEFAULT_PROXY_HEADERS: ProxyHeaders = {
  server: undefined,
  givesRequestId: true,
  tellsServiceTime: true,
  tellsPort: false,
};

/** @param serviceMs  how long the application took; undefined for answers of our own */
export function answerHeaders({ server, tellsServiceTime }: ProxyHeaders, serviceMs: number | undefined): HeaderList {
  return [
    ...(serviceMs !== undefined && tellsServiceTime
      ? [["x-envoy-upstream-service-time", String(serviceMs)] as const]
      : []),
    ...(server === undefined ? [] : [["server", server] as const]),
  ];
}

export function identified(headers: HeaderList, id: string, { givesRequestId }: ProxyHeaders): HeaderList {
  const hasOne = headers.some(([name]) => name === REQUEST_ID_HEADER);
  return givesRequestId || hasOne ? withRequestId(headers, id) : headers;
}

/** @param port  that the client asked for */
export function withPort(headers: HeaderList, port: number, { tellsPort }: ProxyHeaders): HeaderList {
  if (!tellsPort || headers.some(([name]) => name === "x-forwarded-port")) return headers;
  return [...headers, ["x-forwarded-port", String(port)]];
}
