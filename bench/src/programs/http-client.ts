/**
 * The near end of the layer-7 measurements: HTTP/1.1 over connections that are kept; prints one line of JSON.
 *   paced IP AUTHORITY PATH CONNECTIONS RATE SECONDS  {p50, p90, p99, count, late, failed, versions, lastVersion}
 *   flat IP AUTHORITY PATH CONNECTIONS SECONDS        {perSecond, count, failed}  each connection asks as soon as it may
 *   connect IP AUTHORITY PATH CONCURRENCY SECONDS     {perSecond, failed}  a new connection for each request
 * Latencies are in milliseconds. `versions`: how many values of `x-bench-version` were seen in answers, and the last one.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

const HEAD_END = "\r\n\r\n";

/** What the lanes of one run found. */
class Findings {
  readonly latenciesMs: number[] = [];
  readonly versions = new Set<string>();
  lastVersion: string | undefined;
  failed = 0;
  firstFailure = "";

  fail(why: string): void {
    this.failed++;
    this.firstFailure ||= why;
  }
}

/** One connection: one request at a time. A request whose connection ends unanswered has failed; the next one dials again. */
class Lane {
  readonly #dial: () => Socket;
  readonly #request: string;
  readonly #findings: Findings;
  #socket: Socket | undefined;
  #received = "";
  #startedAt = 0;
  #busy = false;
  onIdle: () => void = () => {};

  constructor(dial: () => Socket, request: string, findings: Findings) {
    this.#dial = dial;
    this.#request = request;
    this.#findings = findings;
  }

  get busy(): boolean {
    return this.#busy;
  }

  async open(): Promise<void> {
    await once(this.#connect(), "connect");
  }

  send(from: number): void {
    this.#busy = true;
    this.#startedAt = from;
    (this.#socket ?? this.#connect()).write(this.#request, "latin1");
  }

  close(): void {
    this.onIdle = () => {};
    this.#busy = false;
    this.#socket?.destroy();
  }

  #connect(): Socket {
    const socket = this.#dial();
    this.#socket = socket;
    this.#received = "";
    socket.on("data", (chunk) => this.#receive(chunk.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => this.#closed(socket));
    return socket;
  }

  #receive(text: string): void {
    this.#received = this.#received === "" ? text : this.#received + text;
    const headEnd = this.#received.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = this.#received.slice(0, headEnd + 2);
    const length = Number(fieldOf(head, "content-length") ?? Number.NaN);
    const missing = headEnd + HEAD_END.length + length - this.#received.length;
    if (missing > 0) return;
    if (missing < 0 || Number.isNaN(missing)) throw new Error(`an answer of an unexpected length: ${head}`);
    this.#received = "";
    this.#answered(head);
  }

  #answered(head: string): void {
    const status = head.slice(9, 12);
    if (status === "200") this.#findings.latenciesMs.push(performance.now() - this.#startedAt);
    else this.#findings.fail(`status ${status}`);
    const version = fieldOf(head, "x-bench-version");
    this.#findings.lastVersion = version;
    if (version !== undefined) this.#findings.versions.add(version);
    this.#idle();
  }

  #closed(socket: Socket): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    if (!this.#busy) return;
    this.#findings.fail("connection closed");
    this.#idle();
  }

  #idle(): void {
    this.#busy = false;
    this.onIdle();
  }
}

/** Of a head in the bytes a proxy or the server wrote; names in any case. */
function fieldOf(head: string, name: string): string | undefined {
  const at = head.toLowerCase().indexOf(`\r\n${name}:`);
  if (at < 0) return undefined;
  const from = at + name.length + 3;
  return head.slice(from, head.indexOf("\r\n", from)).trim();
}

interface Target {
  readonly ip: string;
  readonly authority: string;
  readonly path: string;
}

const requestTo = ({ authority, path }: Target): string =>
  `GET ${path} HTTP/1.1\r\nhost: ${authority}\r\nuser-agent: bench\r\naccept: */*\r\n\r\n`;

async function lanesTo(target: Target, count: number, findings: Findings): Promise<Lane[]> {
  const dial = () => connect({ host: target.ip, port: 80, noDelay: true });
  const lanes = Array.from({ length: count }, () => new Lane(dial, requestTo(target), findings));
  await Promise.all(lanes.map((lane) => lane.open()));
  return lanes;
}

const secondsSince = (started: number): number => (performance.now() - started) / 1000;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Open loop: what finds its connection busy waits, and counts from when it was due, so that nothing is omitted. */
async function paced(target: Target, connections: number, rate: number, seconds: number): Promise<unknown> {
  const findings = new Findings();
  const lanes = await lanesTo(target, connections, findings);
  const queues = lanes.map((lane) => queueOf(lane));
  const started = performance.now();
  const total = rate * seconds;
  let late = 0;
  for (let n = 0; n < total; ) {
    const now = performance.now();
    for (; n < total && started + (n * 1000) / rate <= now; n++) {
      const dueAt = started + (n * 1000) / rate;
      if (now - dueAt > 5) late++;
      queues[n % connections]?.(dueAt);
    }
    await sleep(1);
  }
  for (let waited = 0; waited < 2000 && lanes.some((lane) => lane.busy); waited += 10) await sleep(10);
  for (const lane of lanes) if (lane.busy) findings.fail("no answer within 2 s of the end");
  for (const lane of lanes) lane.close();
  return { ...percentiles(findings.latenciesMs), ...told(findings), count: findings.latenciesMs.length, late };
}

function queueOf(lane: Lane): (dueAt: number) => void {
  const due: number[] = [];
  lane.onIdle = () => {
    const next = due.shift();
    if (next !== undefined) lane.send(next);
  };
  return (dueAt) => {
    if (lane.busy) due.push(dueAt);
    else lane.send(performance.now());
  };
}

/** The first tenth is not counted: connections warm up. */
function percentiles(latenciesMs: readonly number[]): { p50: number; p90: number; p99: number } {
  const warm = latenciesMs.slice(Math.floor(latenciesMs.length / 10)).sort((a, b) => a - b);
  const at = (share: number): number => warm[Math.min(warm.length - 1, Math.floor(warm.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}

const told = ({ failed, firstFailure, versions, lastVersion }: Findings) => ({
  failed,
  firstFailure,
  versions: versions.size,
  lastVersion,
});

async function flat(target: Target, connections: number, seconds: number): Promise<unknown> {
  const findings = new Findings();
  const lanes = await lanesTo(target, connections, findings);
  const started = performance.now();
  for (const lane of lanes) {
    lane.onIdle = () => lane.send(performance.now());
    lane.send(started);
  }
  await sleep(seconds * 1000);
  const elapsed = secondsSince(started);
  for (const lane of lanes) lane.close();
  const count = findings.latenciesMs.length;
  return { perSecond: count / elapsed, count, ...told(findings), ...percentiles(findings.latenciesMs) };
}

async function connectMany(target: Target, concurrency: number, seconds: number): Promise<unknown> {
  const findings = new Findings();
  const started = performance.now();
  const runLane = async (): Promise<void> => {
    while (secondsSince(started) < seconds) {
      const lane = new Lane(() => connect({ host: target.ip, port: 80, noDelay: true }), requestTo(target), findings);
      await new Promise<void>((resolve) => {
        lane.onIdle = resolve;
        lane.send(performance.now());
      });
      lane.close();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, runLane));
  return { perSecond: findings.latenciesMs.length / secondsSince(started), ...told(findings) };
}

const [mode = "", ip = "", authority = "", path = "/", ...numbers] = process.argv.slice(2);
const [a = 0, b = 0, c = 0] = numbers.map(Number);
const target: Target = { ip, authority, path };
const MODES: Readonly<Record<string, () => Promise<unknown>>> = {
  paced: () => paced(target, a, b, c),
  flat: () => flat(target, a, b),
  connect: () => connectMany(target, a, b),
};
const run = MODES[mode];
if (!run) throw new Error(`expected one of ${Object.keys(MODES).join(", ")}, got "${mode}"`);
process.stdout.write(`${JSON.stringify(await run())}\n`);
process.exit(0);
