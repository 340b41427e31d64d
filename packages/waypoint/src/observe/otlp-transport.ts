/**
 * Carries one batch of spans to a collector: OTLP/HTTP with JSON, or OTLP/gRPC. One connection a batch (there is one every
 * few seconds), a deadline, an answer of bounded size. Nothing here throws; every way it can fail is a `SendOutcome`.
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import {
  createH2Session,
  defaultH2Options,
  FRAME_HEADER_BYTES,
  type H2StreamHandlers,
  type HeaderList,
} from "@ambit/shared/http2";
import { type Clock, systemClock } from "@ambit/shared/time";
import { readGrpcStatus } from "../respond/grpc-status.ts";
import {
  encodeOtlpJson,
  encodeOtlpProtobuf,
  type Resource,
  readRejectedJson,
  readRejectedProtobuf,
} from "./otlp-encode.ts";
import type { Span } from "./spans.ts";

export type SendOutcome =
  /** `rejected`: spans of it that the collector dropped; not to be sent again. */
  | { readonly kind: "accepted"; readonly rejected: number }
  /** Try again, not before `afterMs` when the collector said so. */
  | { readonly kind: "retry"; readonly reason: string; readonly afterMs: number | undefined }
  | { readonly kind: "refused"; readonly reason: string };

export interface OtlpTransport<T = Span> {
  send(items: readonly T[], resource: Resource): Promise<SendOutcome>;
}

export interface OtlpTransportInit {
  /** A connected byte stream to the collector; rejects when there is none. */
  readonly dial: () => Promise<Duplex>;
  /** Host (and port) for `Host` or `:authority`. */
  readonly authority: string;
  /** Sent with each batch; those that the protocol itself needs cannot be replaced. */
  readonly headers?: HeaderList;
  /** From dialling to the answer; default 10 s. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_RETRY_AFTER_MS = 300_000;

/** Dials `http://host:port` or `https://host:port` (system roots). */
export function dialUrl(url: URL): () => Promise<Duplex> {
  const isTls = url.protocol === "https:";
  const port = Number(url.port || (isTls ? 443 : 80));
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return () =>
    new Promise((resolve, reject) => {
      const socket = isTls ? connectTls({ host, port, servername: host }) : connect({ host, port });
      socket.once("error", reject);
      socket.once(isTls ? "secureConnect" : "connect", () => {
        socket.off("error", reject);
        resolve(socket);
      });
    });
}

/** @param path  e.g. `/v1/traces` */
export function createOtlpHttpTransport(init: OtlpTransportInit, path: string): OtlpTransport {
  return {
    send: (spans, resource) =>
      withConnection(init, (duplex, settle) => post(duplex, init, path, encodeOtlpJson(spans, resource), settle)),
  };
}

type Settle = (outcome: SendOutcome) => void;

/** Dials, runs one exchange, and closes, all before the deadline. */
async function withConnection(
  init: OtlpTransportInit,
  exchange: (duplex: Duplex, settle: Settle) => void,
): Promise<SendOutcome> {
  const { promise, resolve } = Promise.withResolvers<SendOutcome>();
  let settled = false;
  const settle = (outcome: SendOutcome): void => {
    settled = true;
    resolve(outcome);
  };
  const retry = (reason: string): void => settle({ kind: "retry", reason, afterMs: undefined });
  const clock = init.clock ?? systemClock;
  const cancel = clock.after(init.timeoutMs ?? DEFAULT_TIMEOUT_MS, () => retry("no answer in time"));
  const dialled = (async () => init.dial())().then(
    (duplex) => {
      // From here to its end: an error of the stream must always find a listener.
      duplex.on("error", (error) => retry(error.message));
      duplex.once("close", () => retry("the connection closed before an answer"));
      try {
        // Not when the deadline passed while dialling: the batch would go out twice.
        if (!settled) exchange(duplex, settle);
      } catch (error) {
        retry(MeshError.from(error, ErrorCode.UPSTREAM_RESET).message);
      }
      return duplex;
    },
    (error: unknown) => {
      retry(MeshError.from(error, ErrorCode.UPSTREAM_CONNECT_FAILED).message);
      return undefined;
    },
  );
  const outcome = await promise;
  cancel();
  void dialled.then((duplex) => duplex?.destroy());
  return outcome;
}

/** Names that frame a message or route it. */
const RESERVED: ReadonlySet<string> = new Set([
  "host",
  "content-type",
  "content-length",
  "content-encoding",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "upgrade",
  "te",
  "trailer",
  "expect",
]);

const ownHeaders = ({ headers = [] }: OtlpTransportInit): HeaderList =>
  headers.flatMap(([name, value]) => {
    const lower = name.toLowerCase();
    return RESERVED.has(lower) || lower.startsWith(":") || lower.startsWith("grpc-") ? [] : [[lower, value] as const];
  });

function post(duplex: Duplex, init: OtlpTransportInit, path: string, body: string, settle: Settle): void {
  const retry = (error: Error): void => settle({ kind: "retry", reason: error.message, afterMs: undefined });
  const request = httpRequest({
    createConnection: () => duplex,
    method: "POST",
    path,
    headers: {
      ...Object.fromEntries(ownHeaders(init)),
      host: init.authority,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      connection: "close",
    },
  });
  request.on("error", retry);
  request.on("response", (response) => readAnswer(response, settle, retry));
  request.end(body);
}

function readAnswer(response: IncomingMessage, settle: Settle, onError: (error: Error) => void): void {
  const status = response.statusCode ?? 0;
  let body = "";
  response.setEncoding("utf8");
  response.on("error", onError);
  response.on("data", (chunk: string) => {
    if (body.length + chunk.length <= MAX_ANSWER_BYTES) body += chunk;
    else settle(httpOutcome(status, "", response.headers["retry-after"]));
  });
  response.on("end", () => settle(httpOutcome(status, body, response.headers["retry-after"])));
}

/** Spec: OTLP/HTTP Response: only 429, 502, 503 and 504 are tried again. */
const RETRYABLE_HTTP: ReadonlySet<number> = new Set([429, 502, 503, 504]);

function httpOutcome(status: number, body: string, retryAfter: string | undefined): SendOutcome {
  if (status >= 200 && status < 300) return { kind: "accepted", rejected: readRejectedJson(body) };
  const reason = `status ${status}`;
  if (!RETRYABLE_HTTP.has(status)) return { kind: "refused", reason };
  const seconds = /^\d{1,6}$/.test(retryAfter ?? "") ? Number(retryAfter) : undefined;
  return {
    kind: "retry",
    reason,
    afterMs: seconds === undefined ? undefined : Math.min(seconds * 1000, MAX_RETRY_AFTER_MS),
  };
}

const TRACES_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const GRPC_PREFIX_BYTES = 5;
/** Spec: OTLP/gRPC Response: CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS. */
const RETRYABLE_GRPC: ReadonlySet<number> = new Set([1, 4, 10, 11, 14, 15]);

export const createOtlpGrpcTransport = (init: OtlpTransportInit): OtlpTransport =>
  createGrpcTransport(init, TRACES_EXPORT, (spans, resource) => encodeOtlpProtobuf(spans, resource));

/** One message a batch, to a method that answers with one or with none. */
export function createGrpcTransport<T>(
  init: OtlpTransportInit,
  method: string,
  encode: (items: readonly T[], resource: Resource) => Uint8Array,
): OtlpTransport<T> {
  return {
    send: (items, resource) =>
      withConnection(init, (duplex, settle) => call(duplex, init, method, encode(items, resource), settle)),
  };
}

function call(duplex: Duplex, init: OtlpTransportInit, method: string, message: Uint8Array, settle: Settle): void {
  const session = createH2Session("client", duplex, defaultH2Options, {
    onClose: (error) => settle({ kind: "retry", reason: error?.message ?? "session closed", afterMs: undefined }),
  });
  const headers: HeaderList = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", method],
    [":authority", init.authority],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...ownHeaders(init),
  ];
  const answer = new GrpcAnswer((outcome) => {
    settle(outcome);
    session.shutdown();
  });
  const stream = session.request(
    headers,
    false,
    answer.handlers((bytes) => stream.consume(bytes)),
  );
  stream.writeFramed(frameOf(message));
  stream.end();
}

/** Room for the HTTP/2 frame header, the gRPC prefix, the message. */
function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + GRPC_PREFIX_BYTES + message.length);
  frame.writeUInt32BE(message.length, FRAME_HEADER_BYTES + 1);
  frame.set(message, FRAME_HEADER_BYTES + GRPC_PREFIX_BYTES);
  return frame;
}

/** Reads the answer of one unary call. */
class GrpcAnswer {
  readonly #settle: Settle;
  #body: Buffer = Buffer.alloc(0);
  #status: number | undefined;
  #httpStatus = "";

  constructor(settle: Settle) {
    this.#settle = settle;
  }

  handlers(consume: (bytes: number) => void): H2StreamHandlers {
    return {
      onHeaders: (headers, endStream) => {
        this.#status = readGrpcStatus(headers) ?? this.#status;
        this.#httpStatus ||= headers.find(([name]) => name === ":status")?.[1] ?? "";
        if (endStream) this.#finish();
      },
      onData: (chunk) => {
        if (this.#body.length + chunk.length <= MAX_ANSWER_BYTES) this.#body = Buffer.concat([this.#body, chunk]);
        consume(chunk.length);
      },
      onEnd: () => this.#finish(),
      onDrain: () => {},
      onClose: (error) =>
        this.#settle({
          kind: "retry",
          reason: error?.message ?? "the stream ended without a status",
          afterMs: undefined,
        }),
    };
  }

  #finish(): void {
    const status = this.#status;
    if (status === 0) {
      this.#settle({ kind: "accepted", rejected: readRejectedProtobuf(this.#body.subarray(GRPC_PREFIX_BYTES)) });
      return;
    }
    const reason = status === undefined ? `no grpc-status, HTTP status ${this.#httpStatus}` : `grpc-status ${status}`;
    const retries = status === undefined ? RETRYABLE_HTTP.has(Number(this.#httpStatus)) : RETRYABLE_GRPC.has(status);
    this.#settle(retries ? { kind: "retry", reason, afterMs: undefined } : { kind: "refused", reason });
  }
}
