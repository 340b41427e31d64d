/** One unary gRPC call on an HTTP/2 session. Spec: gRPC over HTTP/2 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import {
  FRAME_HEADER_BYTES,
  H2Code,
  type H2Session,
  type H2Stream,
  type H2StreamHandlers,
  type HeaderList,
} from "@ambit/shared/http2";
import { readGrpcStatus } from "../../respond/grpc-status.ts";
import { formatGrpcTimeout } from "../../route/grpc-timeout.ts";
import { malformed } from "./answer.ts";

const PREFIX_BYTES = 5;
const MAX_ANSWER_BYTES = 1024 * 1024;
const OK = 0;

export interface UnaryCall {
  readonly authority: string;
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly message: Uint8Array;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * @returns the message that came back
 * @throws MeshError of the session (retry "safe" when the peer never saw the call) | RESPONSE_MALFORMED |
 *   UPSTREAM_RESET for a status other than OK | the signal's reason
 */
export function callUnary(session: H2Session, call: UnaryCall): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const { signal } = call;
    if (signal.aborted) return reject(signal.reason);
    const answer = new UnaryAnswer();
    const settle = (outcome: Buffer | MeshError): void => {
      signal.removeEventListener("abort", onAbort);
      if (outcome instanceof MeshError) reject(outcome);
      else resolve(outcome);
    };
    const cut = (error: MeshError): void => {
      settle(error);
      stream.reset(H2Code.CANCEL);
    };
    const onAbort = (): void => cut(MeshError.from(signal.reason, ErrorCode.CANCELLED));
    const handlers: H2StreamHandlers = {
      onHeaders: (headers, endStream) => {
        answer.addHeaders(headers);
        if (endStream) settle(answer.finish());
      },
      onData: (chunk) => {
        stream.consume(chunk.length);
        if (!answer.addBytes(chunk)) cut(malformed(`expected at most ${MAX_ANSWER_BYTES} bytes`));
      },
      onEnd: () => settle(answer.finish()),
      onDrain: () => {},
      onClose: (error) => settle(error ?? malformed("the stream ended without an answer")),
    };
    const stream: H2Stream = session.request(headersOf(call), false, handlers);
    signal.addEventListener("abort", onAbort, { once: true });
    stream.writeFramed(frameOf(call.message));
    stream.end();
  });
}

const headersOf = ({ authority, path, timeoutMs }: UnaryCall): HeaderList => [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", path],
  [":authority", authority],
  ["content-type", "application/grpc"],
  ["te", "trailers"],
  ["grpc-timeout", formatGrpcTimeout(timeoutMs)],
  ["user-agent", "ambit"],
];

/** Room for the HTTP/2 frame header, the gRPC prefix, the message. */
function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + PREFIX_BYTES + message.length);
  frame.writeUInt32BE(message.length, FRAME_HEADER_BYTES + 1);
  frame.set(message, FRAME_HEADER_BYTES + PREFIX_BYTES);
  return frame;
}

class UnaryAnswer {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #httpStatus: string | undefined;
  #status: number | undefined;

  addHeaders(headers: HeaderList): void {
    this.#httpStatus ??= headers.find(([name]) => name === ":status")?.[1];
    this.#status = readGrpcStatus(headers) ?? this.#status;
  }

  /** @returns false when it is too much */
  addBytes(chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_ANSWER_BYTES + PREFIX_BYTES) return false;
    this.#chunks.push(Buffer.from(chunk));
    return true;
  }

  finish(): Buffer | MeshError {
    if (this.#httpStatus !== "200") return failed(`HTTP status ${this.#httpStatus?.slice(0, 3)}`);
    if (this.#status === undefined) return malformed("expected a grpc-status");
    if (this.#status !== OK) return failed(`grpc-status ${this.#status}`);
    const body = Buffer.concat(this.#chunks);
    // One message, not compressed: nobody asked for more.
    const isOne = body.length >= PREFIX_BYTES && body[0] === 0 && body.readUInt32BE(1) === body.length - PREFIX_BYTES;
    return isOne ? body.subarray(PREFIX_BYTES) : malformed("expected one message");
  }
}

const failed = (what: string): MeshError =>
  new MeshError(ErrorCode.UPSTREAM_RESET, `authorizer: ${what}`, { origin: "upstream" });
