/**
 * Who the caller is, as the destination is told: `x-forwarded-client-cert`, `x-forwarded-proto`, the tunnel's `forwarded`;
 * and which headers of a caller never pass. Pure.
 *
 * Spec: Envoy HttpConnectionManager with use_remote_address=false; RFC 7239.
 */
import { formatForwarded } from "@ambit/shared/hbone";
import type { HeaderList } from "@ambit/shared/http2";
import type { SocketAddress } from "@ambit/shared/net";
import type { HttpChain } from "../model/route-model.ts";

export type ClientCertMode = HttpChain["forwardedClientCert"];

/** Both ends as mutual TLS proved them: `spiffe://...`. */
export interface ProvenPeers {
  /** Undefined: the caller proved none. */
  readonly peerPrincipal: string | undefined;
  readonly localPrincipal: string | undefined;
}

const CLIENT_CERT = "x-forwarded-client-cert";

/**
 * Statements about a caller or a hop that only the mesh makes. From a caller they are lies or leftovers.
 * `x-ambit-*` as a whole is ours.
 */
const STRIPPED: ReadonlySet<string> = new Set([
  "x-envoy-decorator-operation",
  "x-envoy-expected-rq-timeout-ms",
  "x-envoy-internal",
  "x-envoy-peer-metadata",
  "x-envoy-peer-metadata-id",
  "x-istio-attributes",
]);
const OWN_PREFIX = "x-ambit-";

/**
 * Wishes about retries and timeouts that the router honours and then takes out (Envoy does likewise), so that the next hop
 * does not act on them a second time.
 */
export const ROUTER_HEADERS: ReadonlySet<string> = new Set([
  "x-envoy-retry-on",
  "x-envoy-retry-grpc-on",
  "x-envoy-max-retries",
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-hedge-on-per-try-timeout",
  "x-envoy-retriable-status-codes",
  "x-envoy-retriable-header-names",
  "x-envoy-upstream-alt-stat-name",
]);

/** Whether a caller's header never reaches routing, policy or the destination. @param name  lower case */
export function isReservedHeader(name: string): boolean {
  return STRIPPED.has(name) || name.startsWith(OWN_PREFIX);
}

/**
 * What of a caller's headers may be believed; done before anything looks at them.
 *
 * `x-forwarded-for` and `Forwarded` are left alone: in front of a waypoint stands an ingress or an application of the mesh,
 * and the address that is proven travels in the tunnel. `x-forwarded-proto` is added when missing.
 *
 * Differs: Envoy takes `x-envoy-expected-rq-timeout-ms` and `x-envoy-internal` out at an edge only, we always do.
 */
export function sanitizeCaller(
  headers: HeaderList,
  scheme: string,
  mode: ClientCertMode,
  peers: ProvenPeers,
): HeaderList {
  const keepsCert = mode === "forward" && peers.peerPrincipal !== undefined;
  const kept = headers.filter(([name]) => !isReservedHeader(name) && (keepsCert || name !== CLIENT_CERT));
  const proto = kept.some(([name]) => name === "x-forwarded-proto");
  const cert = mode === "replace-with-peer" ? formatClientCert(peers) : undefined;
  return [
    ...kept,
    ...(proto ? [] : ([["x-forwarded-proto", scheme]] as const)),
    ...(cert === undefined ? [] : ([[CLIENT_CERT, cert]] as const)),
  ];
}

/** A SPIFFE ID has none of the separators of XFCC; what has is no identity and is left out. */
const PLAIN_PRINCIPAL = /^spiffe:\/\/[A-Za-z0-9._/-]{1,2040}$/;

/** `By=<us>;URI=<peer>`; nothing without a proven peer. Spec: Envoy x-forwarded-client-cert. */
export function formatClientCert({ peerPrincipal, localPrincipal }: ProvenPeers): string | undefined {
  if (peerPrincipal === undefined || !PLAIN_PRINCIPAL.test(peerPrincipal)) return undefined;
  const by = localPrincipal !== undefined && PLAIN_PRINCIPAL.test(localPrincipal) ? `By=${localPrincipal};` : "";
  return `${by}URI=${peerPrincipal}`;
}

/**
 * The `forwarded` field of the tunnel to the destination: the client's own address, as its tunnel proved it, and the
 * service. The destination's ztunnel reports it; it authorizes on the waypoint's certificate alone.
 */
export function tunnelForwarded(client: SocketAddress, serviceHostname: string | undefined): string {
  return formatForwarded(client, serviceHostname);
}
