import { ErrorCode, err, MeshError, ok, type Result } from "../errors/index.ts";
import type { HeaderList } from "../http2/index.ts";
import { type Authority, parseAuthority } from "../net/index.ts";
import { type Baggage, formatBaggage, parseBaggage } from "./baggage.ts";
import { type Forwarded, parseForwarded } from "./forwarded.ts";
import { formatTraceparent, parseTraceparent, type TraceContext } from "./traceparent.ts";

/** Header names on the wire. */
export const HboneHeader = {
  baggage: "baggage",
  forwarded: "forwarded",
  traceparent: "traceparent",
  forwardedNetwork: "x-forwarded-network",
} as const;

/** What a CONNECT says beyond its target. */
export interface ConnectRequestInit {
  /** `ip:port`, `[ip6]:port` or `hostname:port`. */
  readonly authority: string;
  /** The source workload. */
  readonly baggage: Baggage;
  /** Text of `formatForwarded`. */
  readonly forwarded: string;
  readonly trace: TraceContext;
  /** Only in the inner tunnel of double HBONE: the sender's network. */
  readonly forwardedNetwork?: string;
}

/**
 * Headers of a CONNECT request, in wire order.
 *
 * Spec: RFC 9113 section 8.5 (no `:scheme`, no `:path`). Parity: ztunnel src/proxy/outbound.rs.
 */
export function buildConnectRequest(init: ConnectRequestInit): HeaderList {
  const headers: (readonly [string, string])[] = [
    [":method", "CONNECT"],
    [":authority", init.authority],
    [HboneHeader.baggage, formatBaggage(init.baggage)],
    [HboneHeader.forwarded, init.forwarded],
    [HboneHeader.traceparent, formatTraceparent(init.trace)],
  ];
  if (init.forwardedNetwork !== undefined) headers.push([HboneHeader.forwardedNetwork, init.forwardedNetwork]);
  return headers;
}

/** A received CONNECT. Everything but the target is telemetry that the sender chose freely. */
export interface ConnectRequest {
  readonly authority: Authority;
  /** The `:authority` as it came. */
  readonly authorityText: string;
  readonly baggage: Baggage;
  readonly forwarded: Forwarded;
  readonly trace?: TraceContext;
  readonly forwardedNetwork?: string;
}

/**
 * Reads a request's headers; errors are HBONE_METHOD_NOT_CONNECT and HBONE_AUTHORITY_INVALID, in that order.
 * Total: never throws.
 */
export function parseConnectRequest(headers: HeaderList): Result<ConnectRequest, MeshError> {
  const method = firstOf(headers, ":method") ?? "";
  if (method !== "CONNECT") return err(refuse("HBONE_METHOD_NOT_CONNECT", `expected CONNECT, got ${quoted(method)}`));
  const authorityText = firstOf(headers, ":authority") ?? "";
  const authority = parseAuthority(authorityText);
  if (!authority.ok) return err(refuse("HBONE_AUTHORITY_INVALID", authority.error));
  const trace = parseTraceparent(firstOf(headers, HboneHeader.traceparent) ?? "");
  const forwardedNetwork = firstOf(headers, HboneHeader.forwardedNetwork);
  return ok({
    authority: authority.value,
    authorityText,
    baggage: parseBaggage(allOf(headers, HboneHeader.baggage)),
    forwarded: parseForwarded(firstOf(headers, HboneHeader.forwarded) ?? ""),
    ...(trace === undefined ? {} : { trace }),
    ...(forwardedNetwork === undefined ? {} : { forwardedNetwork }),
  });
}

/** Headers of the answer; `baggage` of the destination workload goes with a 200 only. */
export function buildConnectResponse(status: number, baggage?: Baggage): HeaderList {
  const head = [":status", String(status)] as const;
  return status === 200 && baggage !== undefined ? [head, [HboneHeader.baggage, formatBaggage(baggage)]] : [head];
}

export interface ConnectResponse {
  /** 100..599; 0 when the field is missing or malformed. */
  readonly status: number;
  readonly baggage: Baggage;
}

/** Reads an answer. Total: never throws. */
export function parseConnectResponse(headers: HeaderList): ConnectResponse {
  const status = firstOf(headers, ":status") ?? "";
  return {
    status: /^[1-5]\d\d$/.test(status) ? Number(status) : 0,
    baggage: parseBaggage(allOf(headers, HboneHeader.baggage)),
  };
}

function allOf(headers: HeaderList, name: string): readonly string[] {
  return headers.filter(([key]) => key === name).map(([, value]) => value);
}

function firstOf(headers: HeaderList, name: string): string | undefined {
  return headers.find(([key]) => key === name)?.[1];
}

const quoted = (text: string): string => JSON.stringify(text.slice(0, 120));

function refuse(code: "HBONE_METHOD_NOT_CONNECT" | "HBONE_AUTHORITY_INVALID", message: string): MeshError {
  return new MeshError(ErrorCode[code], message, { origin: "downstream" });
}
