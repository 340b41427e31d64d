/** Access records for Envoy's access log service. Pure. Spec: envoy.service.accesslog.v3, envoy.data.accesslog.v3. */
import { RequestMethod } from "@ambit/envoy-api/envoy/config/core/v3/base";
import {
  type AccessLogCommonSchema,
  AccessLogType,
  HTTPAccessLogEntrySchema,
  HTTPAccessLogEntry_HTTPVersion as HttpVersion,
  type ResponseFlagsSchema,
  TCPAccessLogEntrySchema,
} from "@ambit/envoy-api/envoy/data/accesslog/v3/accesslog";
import { StreamAccessLogsMessage_IdentifierSchema } from "@ambit/envoy-api/envoy/service/accesslog/v3/als";
import { create, type Message, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { headerOfRequest, headerOfResponse, headerOfTrailers, isHttp } from "./access-log-commands.ts";
import type { AlsSink, LoggedRecord, RequestRecord, ResponseFlag, TcpRecord } from "./model.ts";
import { LONG_FLAGS } from "./response-flags.ts";

export const ALS_METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";

type CommonInit = Exclude<MessageInitShape<typeof AccessLogCommonSchema>, Message>;
type FlagsInit = Exclude<MessageInitShape<typeof ResponseFlagsSchema>, Message>;
type Headers = Pick<AlsSink, "requestHeaders" | "responseHeaders" | "responseTrailers">;

/** Characters of a path or of a header's value. */
const MAX_TEXT_CHARS = 2_048;
const cut = (text: string): string => text.slice(0, MAX_TEXT_CHARS).toWellFormed();

/** One entry of a batch: of HTTP or of TCP, by the record. The first byte tells which. */
export function encodeAlsEntry(sink: Headers, record: LoggedRecord): Uint8Array {
  const entry = isHttp(record)
    ? toBinary(HTTPAccessLogEntrySchema, create(HTTPAccessLogEntrySchema, httpEntry(sink, record)))
    : toBinary(TCPAccessLogEntrySchema, create(TCPAccessLogEntrySchema, tcpEntry(record)));
  return Buffer.concat([Uint8Array.of(isHttp(record) ? HTTP_LOGS : TCP_LOGS), entry]);
}

/** Fields of StreamAccessLogsMessage. */
const HTTP_LOGS = 2;
const TCP_LOGS = 3;

export interface AlsNode {
  readonly id: string;
  readonly cluster: string;
  readonly logName: string;
}

/** identifier 1, http_logs 2 or tcp_logs 3 with log_entry 1. @param entries  all of one kind */
export function encodeAlsBatch(entries: readonly Uint8Array[], { id, cluster, logName }: AlsNode): Uint8Array {
  const writer = new BinaryWriter();
  const identifier = create(StreamAccessLogsMessage_IdentifierSchema, { node: { id, cluster }, logName });
  writer.tag(1, WireType.LengthDelimited).bytes(toBinary(StreamAccessLogsMessage_IdentifierSchema, identifier));
  writer.tag(entries[0]?.[0] ?? HTTP_LOGS, WireType.LengthDelimited).fork();
  for (const entry of entries) writer.tag(1, WireType.LengthDelimited).bytes(entry.subarray(1));
  writer.join();
  return writer.finish();
}

function httpEntry(
  sink: Headers,
  record: RequestRecord,
): Exclude<MessageInitShape<typeof HTTPAccessLogEntrySchema>, Message> {
  return {
    commonProperties: {
      ...common(record, AccessLogType.DownstreamEnd),
      routeName: record.route ?? "",
      streamId: record.requestId,
      upstreamRequestAttemptCount: record.attempts,
    },
    protocolVersion: VERSIONS[record.version] ?? HttpVersion.PROTOCOL_UNSPECIFIED,
    request: {
      requestMethod: RequestMethod[record.method as keyof typeof RequestMethod] ?? RequestMethod.METHOD_UNSPECIFIED,
      scheme: record.scheme,
      authority: cut(record.authority),
      path: cut(record.path),
      originalPath: record.originalPath === record.path ? "" : cut(record.originalPath),
      userAgent: cut(record.userAgent ?? ""),
      referer: cut(headerOfRequest(record, "referer") ?? ""),
      forwardedFor: cut(headerOfRequest(record, "x-forwarded-for") ?? ""),
      requestId: record.requestId,
      requestHeadersBytes: BigInt(record.requestHeadBytes),
      requestBodyBytes: BigInt(record.requestBytes),
      requestHeaders: valuesOf(sink.requestHeaders, (name) => headerOfRequest(record, name)),
    },
    response: {
      ...(record.status > 0 && { responseCode: record.status }),
      responseHeadersBytes: BigInt(record.responseHeadBytes),
      responseBodyBytes: BigInt(record.responseBytes),
      responseHeaders: valuesOf(sink.responseHeaders, (name) => headerOfResponse(record, name)),
      responseTrailers: valuesOf(sink.responseTrailers, (name) => headerOfTrailers(record, name)),
      responseCodeDetails: record.details,
    },
  };
}

const tcpEntry = (record: TcpRecord): Exclude<MessageInitShape<typeof TCPAccessLogEntrySchema>, Message> => ({
  commonProperties: {
    ...common(record, AccessLogType.TcpConnectionEnd),
    connectionTerminationDetails: record.details,
  },
  connectionProperties: {
    receivedBytes: BigInt(record.bytesFromDownstream),
    sentBytes: BigInt(record.bytesFromUpstream),
  },
});

const VERSIONS: Readonly<Record<string, HttpVersion>> = {
  "HTTP/1.0": HttpVersion.HTTP10,
  "HTTP/1.1": HttpVersion.HTTP11,
  "HTTP/2": HttpVersion.HTTP2,
};

function common(record: LoggedRecord, accessLogType: AccessLogType): CommonInit {
  const { principal } = record.source;
  return {
    ...addressOf("downstreamRemoteAddress", record.downstreamRemote),
    ...addressOf("downstreamLocalAddress", record.downstreamLocal),
    ...addressOf("upstreamRemoteAddress", record.upstreamHost),
    ...addressOf("upstreamLocalAddress", record.upstreamLocal),
    ...(principal !== "" && {
      tlsProperties: { peerCertificateProperties: { subjectAltName: [{ san: { case: "uri", value: principal } }] } },
    }),
    startTime: timestampFromMs(Math.floor(record.startedAtEpochMs)),
    duration: {
      seconds: BigInt(Math.floor(record.durationMs / 1_000)),
      nanos: Math.round((record.durationMs % 1_000) * 1e6),
    },
    upstreamCluster: record.cluster ?? "",
    upstreamTransportFailureReason: record.upstreamFailure ?? "",
    responseFlags: flagsOf(record.flags),
    accessLogType,
    customTags:
      record.code === undefined ? {} : { reason: record.code, ...(record.policy && { policy: record.policy }) },
  };
}

type AddressField =
  | "downstreamRemoteAddress"
  | "downstreamLocalAddress"
  | "upstreamRemoteAddress"
  | "upstreamLocalAddress";

function addressOf(field: AddressField, text: string | undefined): CommonInit {
  const [, address = "", port = ""] = /^\[?(.*?)\]?:(\d{1,5})$/.exec(text ?? "") ?? [];
  if (address === "") return {};
  const value = { address, portSpecifier: { case: "portValue" as const, value: Number(port) } };
  return { [field]: { address: { case: "socketAddress", value } } };
}

const OTHER_NAMES: Readonly<Partial<Record<ResponseFlag, keyof FlagsInit>>> = { OM: "overloadManager" };

function flagsOf(flags: readonly ResponseFlag[]): FlagsInit {
  const set = flags.map((flag) => {
    if (flag === "UAEX") return ["unauthorizedDetails", { reason: 1 }];
    const long = LONG_FLAGS[flag];
    return [OTHER_NAMES[flag] ?? `${long.charAt(0).toLowerCase()}${long.slice(1)}`, true];
  });
  return Object.fromEntries(set);
}

function valuesOf(names: readonly string[], read: (name: string) => string | undefined): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = read(name);
      return value === undefined ? [] : [[name, cut(value)]];
    }),
  );
}
