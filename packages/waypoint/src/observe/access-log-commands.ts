/**
 * The commands of Envoy's access log formats, by name: each gives a reader of one record. `undefined` prints as "-".
 * Pure. Spec: Envoy "Access logging", command operators.
 */
import { err, ok, type Result } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { LoggedRecord, RequestRecord } from "./model.ts";
import { LONG_FLAGS } from "./response-flags.ts";
import { compileTimeFormat } from "./time-format.ts";

/** A number stays one in JSON. */
export type ReadValue = (record: LoggedRecord) => string | number | undefined;

export const isHttp = (record: LoggedRecord): record is RequestRecord => "requestId" in record;
const http =
  (read: (record: RequestRecord) => string | number | undefined): ReadValue =>
  (record) =>
    isHttp(record) ? read(record) : undefined;

const nonEmpty = (text: string | undefined): string | undefined => text || undefined;

/** Commands without an argument. */
const PLAIN: Readonly<Record<string, ReadValue>> = {
  PROTOCOL: http((record) => record.version),
  UPSTREAM_PROTOCOL: http((record) => record.upstreamVersion),
  RESPONSE_CODE: (record) => (isHttp(record) ? record.status : 0),
  RESPONSE_CODE_DETAILS: (record) => nonEmpty(record.details)?.replaceAll(" ", "_"),
  RESPONSE_FLAGS: (record) => nonEmpty(record.flags.join(",")),
  RESPONSE_FLAGS_LONG: (record) => nonEmpty(record.flags.map((flag) => LONG_FLAGS[flag]).join(",")),
  CONNECTION_TERMINATION_DETAILS: (record) => (isHttp(record) ? undefined : nonEmpty(record.details)),
  UPSTREAM_TRANSPORT_FAILURE_REASON: (record) => nonEmpty(record.upstreamFailure),
  BYTES_RECEIVED: (record) => (isHttp(record) ? record.requestBytes : record.bytesFromDownstream),
  BYTES_SENT: (record) => (isHttp(record) ? record.responseBytes : record.bytesFromUpstream),
  UPSTREAM_WIRE_BYTES_RECEIVED: () => undefined,
  REQUEST_HEADERS_BYTES: http((record) => record.requestHeadBytes),
  RESPONSE_HEADERS_BYTES: http((record) => record.responseHeadBytes),
  DURATION: (record) => Math.round(record.durationMs),
  RESPONSE_DURATION: http((record) => roundedMs(record.upstreamServiceMs)),
  UPSTREAM_HOST: (record) => record.upstreamHost,
  UPSTREAM_REMOTE_ADDRESS: (record) => record.upstreamHost,
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (record) => withoutPort(record.upstreamHost),
  UPSTREAM_REMOTE_PORT: (record) => portOf(record.upstreamHost),
  UPSTREAM_LOCAL_ADDRESS: (record) => record.upstreamLocal,
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (record) => withoutPort(record.upstreamLocal),
  UPSTREAM_CLUSTER: (record) => record.cluster,
  UPSTREAM_CLUSTER_RAW: (record) => record.cluster,
  UPSTREAM_REQUEST_ATTEMPT_COUNT: http((record) => record.attempts),
  DOWNSTREAM_LOCAL_ADDRESS: (record) => record.downstreamLocal,
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (record) => withoutPort(record.downstreamLocal),
  DOWNSTREAM_LOCAL_PORT: (record) => portOf(record.downstreamLocal),
  DOWNSTREAM_REMOTE_ADDRESS: (record) => record.downstreamRemote,
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (record) => withoutPort(record.downstreamRemote),
  DOWNSTREAM_REMOTE_PORT: (record) => portOf(record.downstreamRemote),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: (record) => record.downstreamRemote,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: (record) => withoutPort(record.downstreamRemote),
  DOWNSTREAM_PEER_URI_SAN: (record) => nonEmpty(record.source.principal),
  UPSTREAM_PEER_URI_SAN: (record) => nonEmpty(record.destination.principal),
  REQUESTED_SERVER_NAME: (record) => record.requestedServerName,
  ROUTE_NAME: http((record) => nonEmpty(record.route)),
  FILTER_CHAIN_NAME: (record) => record.chain,
  TRACE_ID: http((record) => record.trace?.traceId),
  SPAN_ID: http((record) => record.trace?.spanId),
  STREAM_ID: http((record) => record.requestId),
  GRPC_STATUS_NUMBER: http((record) => record.grpcStatus),
  // Ours.
  AMBIT_CODE: (record) => record.code,
  AMBIT_POLICY: (record) => record.policy,
  AMBIT_DRY_RUN: (record) => nonEmpty(record.dryRun.join(",")),
  AMBIT_ROUTED_PATH: http((record) => record.path),
};

/** Known to Envoy and never filled at a waypoint: "-", so that a mesh-wide format need not be rewritten for us. */
const NEVER_FILLED = new Set([
  "ACCESS_LOG_TYPE",
  "CONNECTION_ID",
  "UPSTREAM_CONNECTION_ID",
  "DOWNSTREAM_HANDSHAKE_DURATION",
  "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
  "DOWNSTREAM_LOCAL_URI_SAN",
  "DOWNSTREAM_LOCAL_SUBJECT",
  "DOWNSTREAM_PEER_SUBJECT",
  "DOWNSTREAM_PEER_ISSUER",
  "DOWNSTREAM_PEER_CERT",
  "DOWNSTREAM_PEER_CERT_V_START",
  "DOWNSTREAM_PEER_CERT_V_END",
  "DOWNSTREAM_PEER_FINGERPRINT_1",
  "DOWNSTREAM_PEER_FINGERPRINT_256",
  "DOWNSTREAM_PEER_SERIAL",
  "DOWNSTREAM_TLS_CIPHER",
  "DOWNSTREAM_TLS_SESSION_ID",
  "DOWNSTREAM_TLS_VERSION",
  "DOWNSTREAM_WIRE_BYTES_RECEIVED",
  "DOWNSTREAM_WIRE_BYTES_SENT",
  "UPSTREAM_WIRE_BYTES_SENT",
  "DYNAMIC_METADATA",
  "CLUSTER_METADATA",
  "UPSTREAM_METADATA",
  "FILTER_STATE",
  "UPSTREAM_FILTER_STATE",
  "ENVIRONMENT",
  "HOSTNAME",
  "LOCAL_REPLY_BODY",
  "REQUEST_DURATION",
  "REQUEST_TX_DURATION",
  "RESPONSE_TX_DURATION",
  "COMMON_DURATION",
  "ROUNDTRIP_DURATION",
  "UPSTREAM_CONNECTION_POOL_READY_DURATION",
  "UPSTREAM_HOSTS_ATTEMPTED",
  "UPSTREAM_HOST_NAME",
  "UPSTREAM_LOCAL_PORT",
  "UPSTREAM_PEER_SUBJECT",
  "UPSTREAM_TLS_CIPHER",
  "UPSTREAM_TLS_VERSION",
  "VIRTUAL_CLUSTER_NAME",
  "UNIQUE_ID",
  "JA3_FINGERPRINT",
  "TLS_JA3_FINGERPRINT",
  "CEL",
  "METADATA",
  "EMIT_TIME",
]);

/**
 * The reader of one command. An unknown command is an error, as in Envoy: a typing mistake must not print "-" for ever.
 *
 * @param argument  text between the brackets; undefined = no brackets
 */
export function compileCommand(name: string, argument: string | undefined): Result<ReadValue> {
  switch (name) {
    case "REQ":
      return compileHeader(argument, headerOfRequest);
    case "REQ_WITHOUT_QUERY":
      return compileHeader(argument, (record, header) => headerOfRequest(record, header)?.split("?", 1)[0]);
    case "RESP":
      return compileHeader(argument, headerOfResponse);
    case "TRAILER":
      return compileHeader(argument, headerOfTrailers);
    case "START_TIME":
      return compileTimeFormat(argument, (record) => record.startedAtEpochMs);
    case "GRPC_STATUS":
      return compileGrpcStatus(argument);
    default:
      return compilePlain(name);
  }
}

function compilePlain(name: string): Result<ReadValue> {
  if (Object.hasOwn(PLAIN, name)) return ok(PLAIN[name] as ReadValue);
  if (NEVER_FILLED.has(name)) return ok(() => undefined);
  return err(`expected an access log command of Envoy, got %${name.slice(0, 80)}%`);
}

type ReadHeader = (record: RequestRecord, name: string) => string | undefined;

/** `X` or `X?Y`: the second when the first is absent. */
function compileHeader(argument: string | undefined, read: ReadHeader): Result<ReadValue> {
  const [main = "", alternative, ...more] = (argument ?? "").toLowerCase().split("?");
  const wellFormed = [main, alternative ?? main].every((name) => /^:?[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name));
  if (!wellFormed || more.length > 0) return err(`expected (HEADER) or (HEADER?HEADER), got (${argument ?? ""})`);
  return ok(
    http((record) => read(record, main) ?? (alternative === undefined ? undefined : read(record, alternative))),
  );
}

/** Values that are keys to something are never logged, whatever the format asks for. */
const SECRET = new Set(["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"]);

/** What Envoy sees as headers and we keep apart. */
export function headerOfRequest(record: RequestRecord, name: string): string | undefined {
  switch (name) {
    // Of what could not be read nothing is known. Parity: Envoy.
    case ":method":
      return nonEmpty(record.method);
    case ":path":
      return nonEmpty(record.path);
    case ":authority":
    case "host":
      return nonEmpty(record.authority);
    case ":scheme":
      return record.scheme;
    case "x-request-id":
      return nonEmpty(record.requestId);
    case "x-envoy-original-path":
      // From the record, not from a header that any caller may send.
      return record.originalPath === record.path ? undefined : record.originalPath;
    default:
      return firstOf(record.requestHeaders, name);
  }
}

export function headerOfResponse(record: RequestRecord, name: string): string | undefined {
  if (name === ":status") return String(record.status);
  const found = firstOf(record.responseHeaders, name);
  if (found !== undefined || name !== "x-envoy-upstream-service-time") return found;
  const own = roundedMs(record.upstreamServiceMs);
  return own === undefined ? undefined : String(own);
}

export const headerOfTrailers = (record: RequestRecord, name: string): string | undefined =>
  firstOf(record.responseTrailers, name);

function firstOf(headers: HeaderList, wanted: string): string | undefined {
  for (const [name, value] of headers) if (name === wanted) return SECRET.has(name) ? "<redacted>" : value;
  return undefined;
}

const GRPC_NAMES =
  "OK,Canceled,Unknown,InvalidArgument,DeadlineExceeded,NotFound,AlreadyExists,PermissionDenied,ResourceExhausted,FailedPrecondition,Aborted,OutOfRange,Unimplemented,Internal,Unavailable,DataLoss,Unauthenticated".split(
    ",",
  );

function compileGrpcStatus(format: string | undefined): Result<ReadValue> {
  const name = (status: number): string | undefined => GRPC_NAMES[status];
  const snake = (status: number): string | undefined =>
    name(status)
      ?.replace(/([a-z])([A-Z])/g, "$1_$2")
      .toUpperCase();
  const by = (write: (status: number) => string | number | undefined): Result<ReadValue> =>
    ok(http(({ grpcStatus }) => (grpcStatus === undefined ? undefined : (write(grpcStatus) ?? String(grpcStatus)))));
  if (format === undefined || format === "CAMEL_STRING") return by(name);
  if (format === "SNAKE_STRING") return by(snake);
  if (format === "NUMBER") return by((status) => status);
  return err(`expected CAMEL_STRING, SNAKE_STRING or NUMBER, got ${format.slice(0, 40)}`);
}

const roundedMs = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : Math.round(ms));
const withoutPort = (address: string | undefined): string | undefined => address?.replace(/:\d+$/, "");
const portOf = (address: string | undefined): number | undefined => {
  const port = /:(\d+)$/.exec(address ?? "")?.[1];
  return port === undefined ? undefined : Number(port);
};
