/**
 * What happens to one request, noted as it happens: one object a request, filled by the stages of the pipeline, turned into
 * a `RequestRecord` at the end. Noting costs an assignment; nothing is formatted here.
 */
import type { HeaderList } from "@ambit/shared/http2";
import type { Clock } from "@ambit/shared/time";
import type { RequestHead, ResponseHead } from "../http/message.ts";
import { isGrpcMessage, readGrpcStatus } from "../respond/grpc-status.ts";
import type { LocalResponse } from "../respond/local-response.ts";
import { GrpcMessageCounter } from "./grpc-messages.ts";
import type { AttemptRecord, PeerInfo, RequestRecord, ResponseFlag } from "./model.ts";
import type { RequestTrace } from "./trace-context.ts";

/** What is known when the request begins. */
export interface RecorderInit {
  readonly clock: Clock;
  readonly head: RequestHead;
  readonly chain: string;
  readonly requestId: string;
  readonly trace: RequestTrace | undefined;
  readonly source: PeerInfo;
  /** `ip:port` of the client's application, as the tunnel proved it. */
  readonly downstreamRemote: string;
  /** `ip:port` that the tunnel named. */
  readonly downstreamLocal: string;
}

/** Where an attempt goes. */
export interface AttemptInit {
  readonly cluster: string;
  readonly spanId: string;
  readonly upstreamHost: string;
  readonly destination: PeerInfo;
}

/** How an attempt ended. */
export interface AttemptEnd {
  /** 0 or absent: no response. */
  readonly status?: number;
  readonly grpcStatus?: number | undefined;
  readonly failure?: string | undefined;
}

/** An attempt that is under way. */
export interface OpenAttempt {
  end(result: AttemptEnd): void;
}

export const UNKNOWN_PEER: PeerInfo = Object.freeze({
  principal: "",
  workload: "",
  namespace: "",
  canonicalService: "",
  canonicalRevision: "",
  cluster: "",
});
const NO_HEADERS: HeaderList = [];
/** Attempts kept for the spans of one trace; retries are few, but configured from outside. */
const MAX_ATTEMPT_RECORDS = 32;
const VIA_UPSTREAM = "via_upstream";

export class RequestRecorder {
  // Filled by the stages as they learn it.
  route: string | undefined;
  operation: string | undefined;
  cluster: string | undefined;
  /** As routed, after rewrites. */
  path: string;
  /** What goes upstream (or came, until then). */
  requestHeaders: HeaderList;
  destination: PeerInfo = UNKNOWN_PEER;
  destinationService: RequestRecord["destinationService"];
  upstreamHost: string | undefined;
  upstreamLocal: string | undefined;
  upstreamVersion: string | undefined;
  requestedServerName: string | undefined;
  details = "";
  code: string | undefined;
  policy: string | undefined;
  dryRun: readonly string[] = [];
  /** Text of the transport's failure, for the log only. */
  upstreamFailure: string | undefined;

  readonly isGrpc: boolean;
  readonly #init: RecorderInit;
  readonly #startedAtEpochMs: number;
  readonly #startedAt: number;
  readonly #flags: ResponseFlag[] = [];
  readonly #attempts: AttemptRecord[] = [];
  readonly #requestMessages: GrpcMessageCounter | undefined;
  readonly #responseMessages: GrpcMessageCounter | undefined;
  #attemptCount = 0;
  #requestBytes = 0;
  #responseBytes = 0;
  #status = 0;
  #grpcStatus: number | undefined;
  #upstreamServiceMs: number | undefined;
  #responseHeaders: HeaderList = NO_HEADERS;
  #responseTrailers: HeaderList = NO_HEADERS;
  #messagesCounted: RequestRecord["messagesCounted"];
  #record: RequestRecord | undefined;

  constructor(init: RecorderInit) {
    this.#init = init;
    this.#startedAtEpochMs = init.clock.now();
    this.#startedAt = init.clock.monotonic();
    this.path = init.head.path;
    this.requestHeaders = init.head.headers;
    this.isGrpc = isGrpcMessage(init.head.headers);
    if (this.isGrpc) {
      this.#requestMessages = new GrpcMessageCounter();
      this.#responseMessages = new GrpcMessageCounter();
    }
  }

  get finished(): boolean {
    return this.#record !== undefined;
  }

  /** Milliseconds since the request's head. */
  elapsedMs(): number {
    return this.#init.clock.monotonic() - this.#startedAt;
  }

  /** Flags in the order they were raised, each once. */
  flag(flag: ResponseFlag): void {
    if (!this.#flags.includes(flag)) this.#flags.push(flag);
  }

  requestData(chunk: Uint8Array): void {
    this.#requestBytes += chunk.length;
    this.#requestMessages?.update(chunk);
  }

  responseData(chunk: Uint8Array): void {
    this.#responseBytes += chunk.length;
    this.#responseMessages?.update(chunk);
  }

  beginAttempt(init: AttemptInit): OpenAttempt {
    const startedMs = this.elapsedMs();
    this.#attemptCount++;
    this.cluster = init.cluster;
    this.upstreamHost = init.upstreamHost;
    this.destination = init.destination;
    let open = true;
    return {
      end: ({ status = 0, grpcStatus, failure }) => {
        if (!open) return;
        open = false;
        if (!this.#init.trace?.sampled || this.#attempts.length >= MAX_ATTEMPT_RECORDS) return;
        const { cluster, spanId, upstreamHost } = init;
        const durationMs = this.elapsedMs() - startedMs;
        this.#attempts.push({ spanId, startedMs, durationMs, cluster, upstreamHost, status, grpcStatus, failure });
      },
    };
  }

  /** The upstream's final head that is passed on; `sent` is what the downstream gets, after its mutations. */
  upstreamResponse(sent: ResponseHead): void {
    this.#upstreamServiceMs ??= this.elapsedMs();
    if (this.details === "") this.details = VIA_UPSTREAM;
    this.#respond(sent);
    this.#grpcStatus = this.isGrpc ? readGrpcStatus(sent.headers) : undefined;
  }

  /** An answer of ours. A gRPC caller's is recorded as it saw it: 200 with its `grpc-status`. Parity: Envoy. */
  localResponse(response: LocalResponse, policy?: string): void {
    this.#respond(response.head);
    this.#grpcStatus = response.grpcStatus;
    this.details = response.details;
    this.code = response.code;
    this.policy = policy ?? this.policy;
    this.#responseBytes += response.body.length;
    if (response.flag !== undefined) this.flag(response.flag);
  }

  #respond(head: ResponseHead): void {
    this.#status = head.status;
    this.#responseHeaders = head.headers;
  }

  responseTrailers(trailers: HeaderList): void {
    this.#responseTrailers = trailers;
    if (this.isGrpc) this.#grpcStatus = readGrpcStatus(trailers) ?? this.#grpcStatus;
  }

  /** A failure after the response began, or without any: the client left, the upstream was cut. Status stays. */
  cut(code: string, flag: ResponseFlag | undefined, details: string): void {
    this.code ??= code;
    this.details = details;
    if (flag !== undefined) this.flag(flag);
  }

  /** What is known by now, for counters of long exchanges; undefined when the exchange is over or has no messages. */
  progress(): RequestRecord | undefined {
    if (this.#record !== undefined || !this.isGrpc) return undefined;
    const record = this.#build();
    this.#messagesCounted = { request: record.requestMessages, response: record.responseMessages };
    return record;
  }

  /** The finished record; the same one however often it is asked for. */
  finish(): RequestRecord {
    this.#record ??= this.#build();
    return this.#record;
  }

  #build(): RequestRecord {
    const { head, trace, chain, requestId, source, downstreamLocal, downstreamRemote } = this.#init;
    return {
      ...this.#measured(),
      chain,
      requestId,
      trace,
      source,
      downstreamLocal,
      downstreamRemote,
      route: this.route,
      cluster: this.cluster,
      method: head.method,
      authority: head.authority,
      originalPath: head.path,
      path: this.path,
      version: head.version,
      scheme: head.scheme,
      userAgent: firstOf(this.requestHeaders, "user-agent"),
      isGrpc: this.isGrpc,
      details: this.details,
      code: this.code,
      policy: this.policy,
      dryRun: this.dryRun,
      upstreamFailure: this.upstreamFailure,
      destination: this.destination,
      destinationService: this.destinationService,
      upstreamHost: this.upstreamHost,
      upstreamLocal: this.upstreamLocal,
      upstreamVersion: this.upstreamVersion,
      requestedServerName: this.requestedServerName,
      operation: this.operation,
      requestHeaders: this.requestHeaders,
      responseHeaders: this.#responseHeaders,
      responseTrailers: this.#responseTrailers,
    };
  }

  #measured() {
    const { head } = this.#init;
    return {
      startedAtEpochMs: this.#startedAtEpochMs,
      durationMs: this.elapsedMs(),
      upstreamServiceMs: this.#upstreamServiceMs,
      status: this.#status,
      grpcStatus: this.#grpcStatus,
      flags: this.#flags,
      requestBytes: this.#requestBytes,
      responseBytes: this.#responseBytes,
      requestHeadBytes: headBytes(head.headers) + head.method.length + head.authority.length + head.path.length,
      responseHeadBytes: headBytes(this.#responseHeaders),
      requestMessages: this.#requestMessages?.messages ?? 0,
      responseMessages: this.#responseMessages?.messages ?? 0,
      messagesCounted: this.#messagesCounted,
      attempts: this.#attemptCount,
      attemptRecords: this.#attempts,
    };
  }
}

/** Header values are Latin-1 on the wire: one byte a character. Parity: Envoy HeaderMap::byteSize. */
function headBytes(headers: HeaderList): number {
  let bytes = 0;
  for (const [name, value] of headers) bytes += name.length + value.length;
  return bytes;
}

function firstOf(headers: HeaderList, wanted: string): string | undefined {
  for (const [name, value] of headers) if (name === wanted) return value;
  return undefined;
}
