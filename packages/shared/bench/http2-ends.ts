/** One end of the HTTP/2 benchmark, in its own process so that its CPU time is its own. Told what to do by a message. */
import { once } from "node:events";
import { connect as connectH2, createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { createH2Session, defaultH2Options, FRAME_HEADER_BYTES, type H2Stream } from "@ambit/shared/http2";
import type { KeyPair } from "../test/http2-loopback.ts";

export interface Job {
  readonly engine: "ambit" | "node";
  readonly task: "bulk" | "ping";
  readonly side: "source" | "sink";
  readonly mib: number;
  readonly seconds: number;
  readonly streams: number;
  readonly port: number;
  readonly keys: KeyPair;
}

export interface Outcome {
  readonly bytes: number;
  readonly count: number;
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

const PIECE_BYTES = 4 * 16_384 - FRAME_HEADER_BYTES;
const PING_BYTES = 1024;
const WARM_UP_BYTES = 64 * 1024 * 1024;

/** Wall and CPU time from the end of the warm-up. */
class Meter {
  bytes = 0;
  count = 0;
  #wall = performance.now();
  #cpu = process.cpuUsage();
  readonly #latencies: number[] = [];

  restart(): void {
    this.bytes = 0;
    this.count = 0;
    this.#wall = performance.now();
    this.#cpu = process.cpuUsage();
    this.#latencies.length = 0;
  }

  trip(microseconds: number): void {
    this.count++;
    this.#latencies.push(microseconds);
  }

  outcome(): Outcome {
    const wallSeconds = (performance.now() - this.#wall) / 1000;
    const cpu = process.cpuUsage(this.#cpu);
    const sorted = this.#latencies.sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
    const cpuSeconds = (cpu.user + cpu.system) / 1e6;
    return { bytes: this.bytes, count: this.count, wallSeconds, cpuSeconds, p50Us: at(0.5), p99Us: at(0.99) };
  }
}

/** What both engines offer a task. */
interface Pipe {
  /** @returns false when `onDrain` must be awaited */
  send(bytes: number): boolean;
  end(): void;
}
interface PipeEvents {
  onData(bytes: number): void;
  onDrain(): void;
  onEnd(): void;
}

const meter = new Meter();
const report = (): void => void process.send?.(meter.outcome());
const attach = roleOf;

/** Drives a pipe according to the job. */
function roleOf(job: Job, pipe: () => Pipe, streamIndex: number): PipeEvents {
  if (job.side === "source") return job.task === "bulk" ? bulkSource(job, pipe) : pingSource(job, pipe, streamIndex);
  return job.task === "bulk" ? bulkSink(job, pipe) : pingSink(pipe);
}

let sourceWarm = false;
function bulkSource(job: Job, pipe: () => Pipe): PipeEvents {
  const measured = (job.mib * 1024 * 1024) / job.streams;
  let left = WARM_UP_BYTES / job.streams + measured;
  const run = (): void => {
    while (left > 0) {
      const bytes = Math.min(left, PIECE_BYTES);
      left -= bytes;
      if (!sourceWarm && left <= measured) {
        sourceWarm = true;
        meter.restart();
      }
      if (!pipe().send(bytes)) return;
    }
    pipe().end();
    left = -1;
  };
  return { onData() {}, onDrain: () => left >= 0 && run(), onEnd: () => report() };
}

let sinkReceived = 0;
let sinkStreamsEnded = 0;
let sinkWarm = false;
function bulkSink(job: Job, pipe: () => Pipe): PipeEvents {
  return {
    onData(bytes) {
      sinkReceived += bytes;
      meter.bytes += bytes;
      if (sinkWarm || sinkReceived < WARM_UP_BYTES) return;
      sinkWarm = true;
      meter.restart();
    },
    onDrain() {},
    onEnd() {
      if (++sinkStreamsEnded === job.streams) report();
      pipe().end();
    },
  };
}

function pingSource(job: Job, pipe: () => Pipe, streamIndex: number): PipeEvents {
  let got = 0;
  let sentAt = 0;
  let trips = 0;
  const deadline = performance.now() + 1000 + job.seconds * 1000;
  let warm = false;
  const next = (): void => {
    sentAt = performance.now();
    pipe().send(PING_BYTES);
  };
  return {
    onData(bytes) {
      got += bytes;
      if (got < PING_BYTES) return;
      got = 0;
      const now = performance.now();
      meter.trip((now - sentAt) * 1000);
      if (!warm && streamIndex === 0 && now > deadline - job.seconds * 1000) {
        warm = true;
        meter.restart();
        pipe().send(1);
        trips++;
      }
      if (now < deadline) next();
      else if (streamIndex === 0) {
        report();
        pipe().end();
      }
    },
    onDrain: () => (trips === 0 ? next() : undefined),
    onEnd() {},
  };
}

/** Answers every 1 KiB; a lone byte means that the warm-up is over. */
function pingSink(pipe: () => Pipe): PipeEvents {
  let got = 0;
  return {
    onData(bytes) {
      if (bytes === 1 || bytes === PING_BYTES + 1) {
        meter.restart();
        bytes -= 1;
      }
      got += bytes;
      if (got < PING_BYTES) return;
      got -= PING_BYTES;
      meter.trip(0);
      pipe().send(PING_BYTES);
    },
    onDrain() {},
    onEnd: () => report(),
  };
}

function ambitPipe(stream: H2Stream): Pipe {
  return {
    send: (bytes) => stream.writeFramed(Buffer.allocUnsafe(FRAME_HEADER_BYTES + bytes)),
    end: () => stream.end(),
  };
}

function ambitHandlers(job: Job, stream: () => H2Stream, index: number) {
  let pipe: Pipe | undefined;
  const events = attach(job, () => (pipe ??= ambitPipe(stream())), index);
  return {
    onHeaders: () => events.onDrain(),
    onData(chunk: Buffer) {
      stream().consume(chunk.length);
      events.onData(chunk.length);
    },
    onEnd: () => events.onEnd(),
    onDrain: () => events.onDrain(),
    onClose() {},
  };
}

function nodePipe(stream: import("node:http2").Http2Stream): Pipe {
  return {
    send: (bytes) => stream.write(Buffer.allocUnsafe(bytes)),
    end: () => stream.end(),
  };
}

function attachNode(job: Job, stream: import("node:http2").Http2Stream, index: number): PipeEvents {
  const pipe = nodePipe(stream);
  const events = attach(job, () => pipe, index);
  stream.on("data", (chunk: Buffer) => events.onData(chunk.length));
  stream.on("end", () => events.onEnd());
  stream.on("drain", () => events.onDrain());
  stream.on("error", () => {});
  return events;
}

const WINDOWS = { initialWindowSize: 4 * 1024 * 1024, maxFrameSize: 1024 * 1024, enablePush: false };
const CONNECTION_WINDOW = 16 * 1024 * 1024;

async function serve(job: Job): Promise<void> {
  const tls = { ...job.keys, ALPNProtocols: ["h2"], noDelay: true };
  const server =
    job.engine === "ambit"
      ? createTlsServer(tls, (socket) => serveAmbit(job, socket))
      : createSecureServer({ ...tls, settings: WINDOWS });
  if (job.engine === "node") {
    server.on("session", (session) => session.setLocalWindowSize(CONNECTION_WINDOW));
    server.on("stream", (stream) => {
      attachNode(job, stream, 0);
      stream.respond({ ":status": 200 });
    });
  }
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  process.send?.({ port: (server.address() as AddressInfo).port });
}

function serveAmbit(job: Job, socket: TLSSocket): void {
  createH2Session("server", socket, defaultH2Options, {
    onRequest(stream) {
      stream.sendHeaders([[":status", "200"]], false);
      return ambitHandlers(job, () => stream, 0);
    },
    onClose() {},
  });
}

async function dial(job: Job): Promise<void> {
  const socket = connectTls({ host: "127.0.0.1", port: job.port, ALPNProtocols: ["h2"], rejectUnauthorized: false });
  await once(socket, "secureConnect");
  socket.setNoDelay(true);
  if (job.engine === "ambit") dialAmbit(job, socket);
  else dialNode(job, socket);
}

function dialAmbit(job: Job, socket: TLSSocket): void {
  const session = createH2Session("client", socket, defaultH2Options, { onClose() {} });
  for (let index = 0; index < job.streams; index++) {
    const stream: H2Stream = session.request(
      [
        [":method", "CONNECT"],
        [":authority", "127.0.0.1:80"],
      ],
      false,
      ambitHandlers(job, () => stream, index),
    );
  }
}

function dialNode(job: Job, socket: TLSSocket): void {
  const session = connectH2("https://localhost", { createConnection: () => socket, settings: WINDOWS });
  session.on("error", () => {});
  session.once("connect", () => {
    session.setLocalWindowSize(CONNECTION_WINDOW);
    for (let index = 0; index < job.streams; index++) {
      const stream = session.request({ ":method": "CONNECT", ":authority": "127.0.0.1:80" });
      const events = attachNode(job, stream, index);
      stream.once("response", () => events.onDrain());
    }
  });
}

process.once("SIGINT", () => process.exit(0));
process.once("message", (job: Job) => void (job.side === "sink" ? serve(job) : dial(job)));
