/** Owners of sessions and streams that write down what they are told. */

import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { MeshError } from "../src/errors/index.ts";
import {
  createH2Session,
  defaultH2Options,
  FRAME_HEADER_BYTES,
  type H2Options,
  type H2Session,
  type H2Stream,
  type H2StreamHandlers,
  type HeaderList,
} from "../src/http2/index.ts";

export class StreamLog implements H2StreamHandlers {
  stream: H2Stream | undefined;
  request: HeaderList = [];
  readonly headers: HeaderList[] = [];
  bytes = 0;
  readonly chunks: Buffer[] = [];
  ends = 0;
  drains = 0;
  closes = 0;
  error: MeshError | undefined;
  /** Whether received DATA is kept and consumed at once. */
  keep = true;
  consume = true;

  onHeaders(headers: HeaderList): void {
    this.headers.push(headers);
  }
  onData(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.keep) this.chunks.push(Buffer.from(chunk));
    if (this.consume) this.stream?.consume(chunk.length);
  }
  onEnd(): void {
    this.ends++;
  }
  onDrain(): void {
    this.drains++;
  }
  onClose(error: MeshError | undefined): void {
    this.closes++;
    this.error = error;
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString("latin1");
  }
}

export interface SessionLog {
  readonly session: H2Session;
  readonly streams: StreamLog[];
  readonly goaways: (readonly [number, number])[];
  closes: number;
  error: MeshError | undefined;
  capacity: number;
}

/** A session whose streams answer 200 at once, or do what `serve` says. */
export function record(
  role: "client" | "server",
  transport: Duplex,
  options: Partial<H2Options> = {},
  serve: (log: StreamLog, stream: H2Stream) => void = (_, stream) => stream.sendHeaders([[":status", "200"]], false),
): SessionLog {
  const log = { streams: [], goaways: [], closes: 0, error: undefined, capacity: 0 } as unknown as {
    -readonly [K in keyof SessionLog]: SessionLog[K];
  };
  log.session = createH2Session(
    role,
    transport,
    { ...defaultH2Options, ...options },
    {
      onRequest(stream, headers) {
        const owner = new StreamLog();
        owner.stream = stream;
        owner.request = headers;
        log.streams.push(owner);
        serve(owner, stream);
        return owner;
      },
      onGoaway: (lastStreamId, code) => void log.goaways.push([lastStreamId, code]),
      onCapacity: () => void log.capacity++,
      onClose(error) {
        log.closes++;
        log.error = error;
      },
    },
  );
  return log;
}

/** Opens a CONNECT stream whose owner writes down what it is told. */
export function open(session: H2Session, log: StreamLog = new StreamLog(), endStream = false): StreamLog {
  const headers: HeaderList = [
    [":method", "CONNECT"],
    [":authority", "10.0.0.1:80"],
  ];
  log.stream = session.request(headers, endStream, log);
  return log;
}

/** Payload with the headroom that `writeFramed` wants. */
export const framed = (payload: Uint8Array | string): Buffer =>
  Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), Buffer.from(payload as Uint8Array)]);

export async function until(holds: () => boolean, timeoutMs = 20_000): Promise<void> {
  for (const end = Date.now() + timeoutMs; !holds(); await delay(2)) {
    if (Date.now() > end) throw new Error(`timed out waiting for ${holds.toString()}`);
  }
}
