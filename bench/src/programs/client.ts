/**
 * The near end of every measurement; prints one line of JSON.
 *   upload HOST CONNECTIONS BYTES       {seconds}
 *   download HOST CONNECTIONS BYTES     {seconds}
 *   paced HOST CONNECTIONS RATE SECONDS {p50, p90, p99, count, late}  latencies in milliseconds
 *   connect HOST CONCURRENCY SECONDS    {perSecond, failed}  a new connection and one byte there and back
 *   idle HOST CONNECTIONS               opens them, prints {open}, holds them until its input ends
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

const BLOCK = Buffer.alloc(256 * 1024, "x");
const REQUEST = Buffer.alloc(1024, "r");

async function dial(host: string, port: number): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true });
  await once(socket, "connect");
  return socket;
}

const secondsSince = (started: number): number => (performance.now() - started) / 1000;

async function upload(host: string, connections: number, bytes: number): Promise<unknown> {
  const sockets = await Promise.all(Array.from({ length: connections }, () => dial(host, 9001)));
  const started = performance.now();
  await Promise.all(sockets.map((socket) => sendAll(socket, Math.floor(bytes / connections))));
  return { seconds: secondsSince(started) };
}

async function sendAll(socket: Socket, bytes: number): Promise<void> {
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk.toString("latin1");
  });
  for (let left = bytes; left > 0; left -= BLOCK.length) {
    const room = socket.write(left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left));
    if (!room) await once(socket, "drain");
  }
  socket.end();
  await once(socket, "close");
  if (answer !== String(bytes)) throw new Error(`sent ${bytes} bytes, the server got ${answer || "none"}`);
}

async function download(host: string, connections: number, bytes: number): Promise<unknown> {
  const sockets = await Promise.all(Array.from({ length: connections }, () => dial(host, 9002)));
  const started = performance.now();
  await Promise.all(sockets.map((socket) => receiveAll(socket, Math.floor(bytes / connections))));
  return { seconds: secondsSince(started) };
}

async function receiveAll(socket: Socket, bytes: number): Promise<void> {
  let received = 0;
  socket.on("data", (chunk) => {
    received += chunk.length;
  });
  socket.write(`${bytes}\n`);
  await once(socket, "close");
  if (received !== bytes) throw new Error(`expected ${bytes} bytes, got ${received}`);
}

/** One connection of the paced run: requests wait their turn, and a late turn counts from when it was due. */
class PacedConnection {
  readonly #socket: Socket;
  readonly #due: number[] = [];
  readonly #latenciesMs: number[];
  #missing = 0;
  #startedAt = 0;

  constructor(socket: Socket, latenciesMs: number[]) {
    this.#socket = socket;
    this.#latenciesMs = latenciesMs;
    socket.on("data", (chunk) => this.#receive(chunk.length));
  }

  /** `dueAt` is the schedule's time; queued behind an unanswered request it keeps counting, so nothing is omitted. */
  request(dueAt: number): void {
    if (this.#missing > 0) this.#due.push(dueAt);
    else this.#send(performance.now());
  }

  #send(from: number): void {
    this.#startedAt = from;
    this.#missing = REQUEST.length;
    this.#socket.write(REQUEST);
  }

  #receive(bytes: number): void {
    this.#missing -= bytes;
    if (this.#missing > 0) return;
    this.#latenciesMs.push(performance.now() - this.#startedAt);
    const next = this.#due.shift();
    if (next !== undefined) this.#send(next);
  }
}

async function paced(host: string, connections: number, rate: number, seconds: number): Promise<unknown> {
  const latenciesMs: number[] = [];
  const sockets = await Promise.all(Array.from({ length: connections }, () => dial(host, 9003)));
  const lanes = sockets.map((socket) => new PacedConnection(socket, latenciesMs));
  const started = performance.now();
  const total = rate * seconds;
  let late = 0;
  for (let n = 0; n < total; ) {
    const now = performance.now();
    for (; n < total && started + (n * 1000) / rate <= now; n++) {
      const dueAt = started + (n * 1000) / rate;
      if (now - dueAt > 5) late++;
      lanes[n % connections]?.request(dueAt);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  for (const socket of sockets) socket.destroy();
  const warm = latenciesMs.slice(Math.floor(latenciesMs.length / 10)).sort((a, b) => a - b);
  const at = (share: number): number => warm[Math.min(warm.length - 1, Math.floor(warm.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), count: latenciesMs.length, late };
}

async function connectMany(host: string, concurrency: number, seconds: number): Promise<unknown> {
  const started = performance.now();
  const totals = { done: 0, failed: 0 };
  const lane = async (): Promise<void> => {
    while (secondsSince(started) < seconds) {
      if (await oneByteEcho(host)) totals.done++;
      else totals.failed++;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  return { perSecond: totals.done / secondsSince(started), failed: totals.failed };
}

function oneByteEcho(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: 9003, noDelay: true }, () => socket.write("x"));
    let answered = false;
    socket.on("data", () => {
      answered = true;
      socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answered));
  });
}

async function idle(host: string, connections: number): Promise<unknown> {
  let open = 0;
  for (let n = 0; n < connections; n += 100) {
    const batch = await Promise.all(Array.from({ length: Math.min(100, connections - n) }, () => dial(host, 9003)));
    for (const socket of batch) socket.on("error", () => {});
    open += batch.length;
  }
  process.stdout.write(`${JSON.stringify({ open })}\n`);
  process.stdin.resume();
  await once(process.stdin, "end");
  process.exit(0);
}

const [mode = "", host = "", ...numbers] = process.argv.slice(2);
const [a = 0, b = 0, c = 0] = numbers.map(Number);
const MODES: Readonly<Record<string, () => Promise<unknown>>> = {
  upload: () => upload(host, a, b),
  download: () => download(host, a, b),
  paced: () => paced(host, a, b, c),
  connect: () => connectMany(host, a, b),
  idle: () => idle(host, a),
};
const run = MODES[mode];
if (!run) throw new Error(`expected one of ${Object.keys(MODES).join(", ")}, got "${mode}"`);
process.stdout.write(`${JSON.stringify(await run())}\n`);
process.exit(0);
