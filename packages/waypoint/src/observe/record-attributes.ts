/** What expressions of telemetry see of a finished exchange or connection. Pure. Spec: Envoy "Attributes". */
import type { CelAttribute, CelScalar, PeerField, ReadAttribute } from "@ambit/shared/cel";
import { headerOfRequest, headerOfResponse, headerOfTrailers, isHttp } from "./access-log-commands.ts";
import type { LoggedRecord, PeerInfo, RequestRecord } from "./model.ts";

type Read<T> = (record: T) => CelScalar | undefined;

const PEER: Readonly<Record<PeerField, Read<PeerInfo>>> = {
  workload: ({ workload }) => workload,
  namespace: ({ namespace }) => namespace,
  cluster: ({ cluster }) => cluster,
  service: ({ canonicalService }) => canonicalService,
  revision: ({ canonicalRevision }) => canonicalRevision,
  app: ({ canonicalService }) => canonicalService,
  version: ({ canonicalRevision }) => canonicalRevision,
};

const OF_REQUEST: Readonly<Record<string, Read<RequestRecord>>> = {
  "request.path": ({ path }) => path,
  "request.url_path": ({ path }) => path.split("?", 1)[0],
  "request.query": ({ path }) => (path.includes("?") ? path.slice(path.indexOf("?") + 1) : ""),
  "request.host": ({ authority }) => authority,
  "request.scheme": ({ scheme }) => scheme,
  "request.method": ({ method }) => method,
  "request.referer": (record) => headerOfRequest(record, "referer"),
  "request.useragent": ({ userAgent }) => userAgent,
  "request.id": ({ requestId }) => requestId,
  "request.protocol": ({ version }) => version,
  "request.size": ({ requestBytes }) => requestBytes,
  "request.total_size": ({ requestBytes, requestHeadBytes }) => requestBytes + requestHeadBytes,
  "response.code": ({ status }) => (status === 0 ? undefined : status),
  "response.grpc_status": ({ grpcStatus }) => grpcStatus,
  "response.size": ({ responseBytes }) => responseBytes,
  "response.total_size": ({ responseBytes, responseHeadBytes }) => responseBytes + responseHeadBytes,
  "xds.route_name": ({ route }) => route,
};

const OF_ANY: Readonly<Record<string, Read<LoggedRecord>>> = {
  "response.code_details": ({ details }) => details || undefined,
  "source.address": ({ downstreamRemote }) => downstreamRemote,
  "source.port": ({ downstreamRemote }) => portOf(downstreamRemote),
  "destination.address": ({ downstreamLocal }) => downstreamLocal,
  "destination.port": ({ downstreamLocal }) => portOf(downstreamLocal),
  "connection.mtls": ({ source }) => source.principal !== "",
  "connection.requested_server_name": ({ requestedServerName }) => requestedServerName,
  "connection.uri_san_peer_certificate": ({ source }) => source.principal || undefined,
  "upstream.address": ({ upstreamHost }) => upstreamHost,
  "upstream.port": ({ upstreamHost }) => portOf(upstreamHost),
  "upstream.local_address": ({ upstreamLocal }) => upstreamLocal,
  "upstream.transport_failure_reason": ({ upstreamFailure }) => upstreamFailure,
  "upstream.uri_san_peer_certificate": ({ destination }) => destination.principal || undefined,
  "xds.cluster_name": ({ cluster }) => cluster,
  "xds.filter_chain_name": ({ chain }) => chain,
};

const HEADERS: Readonly<Record<string, (record: RequestRecord, name: string) => string | undefined>> = {
  "request.headers": headerOfRequest,
  "response.headers": headerOfResponse,
  "response.trailers": headerOfTrailers,
};

export const attributesOf =
  (record: LoggedRecord): ReadAttribute =>
  (name, key) =>
    readAttribute(record, name, key);

function readAttribute(record: LoggedRecord, name: CelAttribute, key: string | undefined): CelScalar | undefined {
  const ofAny = OF_ANY[name];
  if (ofAny) return ofAny(record);
  const [peer = "", field = ""] = name.split(".");
  if (peer === "downstream_peer") return PEER[field as PeerField](record.source) || undefined;
  if (peer === "upstream_peer") return PEER[field as PeerField](record.destination) || undefined;
  if (!isHttp(record)) return undefined;
  return key === undefined ? OF_REQUEST[name]?.(record) : HEADERS[name]?.(record, key);
}

function portOf(address: string | undefined): number | undefined {
  const port = /:(\d+)$/.exec(address ?? "")?.[1];
  return port === undefined ? undefined : Number(port);
}
