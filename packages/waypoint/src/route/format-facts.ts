/** Answers the commands of header values from what is known of a request. Pure. */
import type { HeaderList } from "@ambit/shared/http2";
import { claimValues } from "./claim-values.ts";
import type { CommandResolver } from "./header-format.ts";
import { formatStartTime } from "./start-time.ts";

/** Undefined or "" = unknown, and the header is not added when nothing else is in it. */
export interface FormatFacts {
  /** With pseudo-headers first. */
  readonly request: HeaderList;
  /** With `:status` first; undefined before there is a response. */
  readonly response: HeaderList | undefined;
  /** "HTTP/1.1" and so on. */
  readonly protocol: string;
  readonly startedAtEpochMs: number;
  /** `ip:port`, IPv6 in brackets: the client, and what it called. */
  readonly downstreamRemote: string;
  readonly downstreamLocal: string;
  readonly peerPrincipal: string | undefined;
  readonly localPrincipal: string | undefined;
  readonly serverName: string | undefined;
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  readonly routeName: string | undefined;
  readonly cluster: string | undefined;
  readonly upstreamHost: string | undefined;
  readonly responseFlags: string | undefined;
  readonly requestId: string | undefined;
  /** Of this machine. */
  readonly hostname: string;
}

export const resolverOf =
  (facts: FormatFacts): CommandResolver =>
  (command, argument) =>
    RESOLVERS[command]?.(facts, argument ?? "");

type Resolver = (facts: FormatFacts, argument: string) => string | undefined;

const remote: Resolver = (facts) => facts.downstreamRemote;
const remoteIp: Resolver = (facts) => withoutPort(facts.downstreamRemote);
const remotePort: Resolver = (facts) => portOf(facts.downstreamRemote);

/** A null prototype, so that no name finds what is not in the list. */
const RESOLVERS: Readonly<Record<string, Resolver>> = Object.assign(Object.create(null) as Record<string, Resolver>, {
  REQ: ({ request }, argument) => headerOf(request, argument),
  RESP: ({ response }, argument) => headerOf(response ?? [], argument),
  DYNAMIC_METADATA: metadata,
  FILTER_STATE: filterState,
  START_TIME: ({ startedAtEpochMs }, argument) => formatStartTime(startedAtEpochMs, argument),
  PROTOCOL: ({ protocol }) => protocol,
  // The client's address comes through the tunnel; there is no other.
  DOWNSTREAM_REMOTE_ADDRESS: remote,
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: remoteIp,
  DOWNSTREAM_REMOTE_PORT: remotePort,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: remote,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: remoteIp,
  DOWNSTREAM_DIRECT_REMOTE_PORT: remotePort,
  DOWNSTREAM_LOCAL_ADDRESS: ({ downstreamLocal }) => downstreamLocal,
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: ({ downstreamLocal }) => withoutPort(downstreamLocal),
  DOWNSTREAM_LOCAL_PORT: ({ downstreamLocal }) => portOf(downstreamLocal),
  DOWNSTREAM_PEER_URI_SAN: ({ peerPrincipal }) => peerPrincipal,
  DOWNSTREAM_LOCAL_URI_SAN: ({ localPrincipal }) => localPrincipal,
  REQUESTED_SERVER_NAME: ({ serverName }) => serverName,
  UPSTREAM_HOST: ({ upstreamHost }) => upstreamHost,
  UPSTREAM_REMOTE_ADDRESS: ({ upstreamHost }) => upstreamHost,
  UPSTREAM_CLUSTER: ({ cluster }) => cluster,
  UPSTREAM_CLUSTER_RAW: ({ cluster }) => cluster,
  ROUTE_NAME: ({ routeName }) => routeName,
  RESPONSE_CODE: ({ response }) => headerOf(response ?? [], ":status"),
  RESPONSE_FLAGS: ({ responseFlags }) => responseFlags,
  STREAM_ID: ({ requestId }) => requestId,
  HOSTNAME: ({ hostname }) => hostname,
} satisfies Record<string, Resolver>);

/** `X`, or `X?Y`: Y when there is no X. The first of repeated fields. */
function headerOf(headers: HeaderList, argument: string): string | undefined {
  const [first = "", second] = argument.toLowerCase().split("?", 2);
  return firstValue(headers, first) ?? (second ? firstValue(headers, second) : undefined);
}

const firstValue = (headers: HeaderList, name: string): string | undefined => {
  const wanted = name === "host" ? ":authority" : name;
  return headers.find(([candidate]) => candidate === wanted)?.[1];
};

/** `envoy.filters.http.jwt_authn:payload:a:b` is the claim `a.b`; no other metadata exists here. */
function metadata({ claims }: FormatFacts, argument: string): string | undefined {
  const [namespace, key, ...path] = argument.split(":");
  if (namespace !== "envoy.filters.http.jwt_authn" || key !== "payload" || path.length === 0) return undefined;
  return claimValues(claims, path).join(",");
}

/** `io.istio.peer_principal` and `io.istio.local_principal`, with or without `:PLAIN`. */
function filterState({ peerPrincipal, localPrincipal }: FormatFacts, argument: string): string | undefined {
  const [key] = argument.split(":");
  if (key === "io.istio.peer_principal") return peerPrincipal;
  return key === "io.istio.local_principal" ? localPrincipal : undefined;
}

const withoutPort = (address: string): string => address.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
const portOf = (address: string): string | undefined => /:(\d+)$/.exec(address)?.[1];
