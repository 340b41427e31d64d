/**
 * The client of end-to-end tests, run inside a pod; prints one line of JSON.
 *   echo HOST PORT [TEXT]           {answer}: writes, reads the same amount, ends
 *   talk HOST PORT                  {answer}: says nothing, reads what comes first
 *   read HOST PORT                  {answer}: reads to the end
 *   upload HOST PORT BYTES          the sink's {bytes, sha256} and ours
 *   download HOST PORT BYTES        {bytes, intact}
 *   both HOST PORT BYTES            echo of BYTES while sending: {bytes, intact}
 *   ended HOST PORT TEXT            {answer}: writes, ends its direction, reads what comes after
 *   late HOST PORT BYTES            {answer}: reads to the end first, then writes BYTES and ends
 *   many HOST PORT COUNT [ROUNDS]   {ok, failed}: COUNT connections at once, each echoed, round after round
 *   flood HOST PORT SECONDS         {written}: writes as fast as it may to one that never reads
 *   stream HOST PORT SECONDS|input  {echoes, p50Ms, p99Ms, longestGapMs, ended}: one connection, an echo every 20 ms, for so
 *                                   long or until its input ends; prints "open" on stderr
 *   churn HOST PORT SECONDS [RATE]  {ok, failed, failedLater, failures}: paced new connections, one echo each; failed later
 *                                   are those begun after the first had failed
 *   idle HOST PORT COUNT            holds COUNT connections until its input ends, then echoes on each: {open, alive}
 *   udp HOST PORT                   {answer}
 *   closed HOST PORT                {error}: a datagram to a port nobody listens on; ICMP tells
 */
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { patternBlock } from "./pattern.ts";

async function dial(host: string, port: number): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true, allowHalfOpen: true });
  await once(socket, "connect");
  socket.on("error", (error: NodeJS.ErrnoException) => failures.push(error.code ?? error.message));
  return socket;
}

const failures: string[] = [];

/** Unlike `once` of node:events, an error of the socket does not reject: it is in `failures`, and the close follows. */
function ended(socket: Socket, event: "end" | "close"): Promise<void> {
  return new Promise((resolve) => {
    socket.once(event, () => resolve());
    socket.once("close", () => resolve());
  });
}

function collected(socket: Socket): { text: string } {
  const state = { text: "" };
  socket.on("data", (chunk) => {
    state.text += chunk.toString("utf8");
  });
  return state;
}

async function sendPattern(socket: Socket, bytes: number): Promise<void> {
  for (let sent = 0; sent < bytes; ) {
    const block = patternBlock(sent, Math.min(65536, bytes - sent));
    sent += block.length;
    if (!socket.write(block)) await Promise.race([once(socket, "drain"), once(socket, "close")]);
    if (socket.destroyed) return;
  }
}

function checkPattern(socket: Socket): { bytes: number; intact: boolean } {
  const state = { bytes: 0, intact: true };
  socket.on("data", (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; ) {
      const part = Math.min(65536, chunk.length - at);
      if (!chunk.subarray(at, at + part).equals(patternBlock(state.bytes, part))) state.intact = false;
      state.bytes += part;
      at += part;
    }
  });
  return state;
}

async function echo(host: string, port: number, text = "ping"): Promise<unknown> {
  const socket = await dial(host, port);
  const answer = collected(socket);
  socket.end(text);
  await ended(socket, "close");
  return { answer: answer.text, failures };
}

async function talk(host: string, port: number): Promise<unknown> {
  const socket = await dial(host, port);
  const [chunk] = (await Promise.race([once(socket, "data"), once(socket, "close").then(() => [Buffer.alloc(0)])])) as [
    Buffer,
  ];
  socket.destroy();
  return { answer: chunk.toString("utf8"), failures };
}

async function read(host: string, port: number): Promise<unknown> {
  const socket = await dial(host, port);
  const answer = collected(socket);
  await ended(socket, "end");
  socket.end();
  return { answer: answer.text, failures };
}

async function upload(host: string, port: number, bytes: number): Promise<unknown> {
  const hash = createHash("sha256");
  for (let sent = 0; sent < bytes; sent += 65536) hash.update(patternBlock(sent, Math.min(65536, bytes - sent)));
  const socket = await dial(host, port);
  const answer = collected(socket);
  await sendPattern(socket, bytes);
  socket.end();
  await ended(socket, "close");
  return { ...(JSON.parse(answer.text || "{}") as object), expected: hash.digest("hex"), failures };
}

async function download(host: string, port: number, bytes: number): Promise<unknown> {
  const socket = await dial(host, port);
  const state = checkPattern(socket);
  socket.write(`${bytes}\n`);
  await ended(socket, "end");
  socket.end();
  return { ...state, failures };
}

async function both(host: string, port: number, bytes: number): Promise<unknown> {
  const socket = await dial(host, port);
  const state = checkPattern(socket);
  await sendPattern(socket, bytes);
  socket.end();
  if (!socket.readableEnded) await ended(socket, "end");
  return { ...state, failures };
}

async function late(host: string, port: number, bytes: number): Promise<unknown> {
  const socket = await dial(host, port);
  const answer = collected(socket);
  await ended(socket, "end");
  await sendPattern(socket, bytes);
  socket.end();
  await ended(socket, "close");
  return { answer: answer.text, failures };
}

async function echoOnce(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, noDelay: true }, () => socket.write("x"));
    let answered = false;
    socket.setTimeout(30_000, () => socket.destroy(new Error("timed out")));
    socket.on("data", () => {
      answered = true;
      socket.destroy();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => failures.push(error.code ?? error.message));
    socket.on("close", () => resolve(answered));
  });
}

async function many(host: string, port: number, count: number, rounds: number): Promise<unknown> {
  let ok = 0;
  for (let round = 0; round < rounds; round++) ok += await crowd(host, port, count);
  return { ok, failed: count * rounds - ok, failures: failures.slice(0, 5) };
}

/** @returns how many of them got their own text back */
async function crowd(host: string, port: number, count: number): Promise<number> {
  const sockets = await Promise.allSettled(Array.from({ length: count }, () => dial(host, port)));
  const open = sockets.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const answers = await Promise.all(
    open.map(async (socket, index) => {
      const text = `connection ${index}`;
      const answer = collected(socket);
      socket.end(text);
      await ended(socket, "close");
      return answer.text === text;
    }),
  );
  return answers.filter(Boolean).length;
}

async function flood(host: string, port: number, seconds: number): Promise<unknown> {
  const socket = await dial(host, port);
  let written = 0;
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until) {
    const block = patternBlock(written, 65521);
    written += block.length;
    if (!socket.write(block))
      await Promise.race([once(socket, "drain"), new Promise((resolve) => setTimeout(resolve, 100))]);
    if (socket.writableLength > 1 << 20) await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const stuck = socket.writableLength;
  socket.destroy();
  return { written: written - stuck };
}

async function stream(host: string, port: number, length: string): Promise<unknown> {
  const socket = await dial(host, port);
  process.stderr.write("open\n");
  const started = performance.now();
  const state = { echoes: 0, longestGapMs: 0, ended: "time is up" };
  let last = started;
  const sentAtMs: number[] = [];
  const latenciesMs: number[] = [];
  const ticker = setInterval(() => {
    sentAtMs.push(performance.now());
    socket.write("x");
  }, 20);
  const over = length === "input" ? undefined : setTimeout(() => socket.destroy(), Number(length) * 1000);
  if (!over) process.stdin.resume().once("end", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    const now = performance.now();
    state.longestGapMs = Math.max(state.longestGapMs, now - last);
    last = now;
    state.echoes += chunk.length;
    for (const sent of sentAtMs.splice(0, chunk.length)) latenciesMs.push(now - sent);
  });
  socket.on("end", () => {
    state.ended = "closed by the other side";
    socket.end();
  });
  await ended(socket, "close");
  clearInterval(ticker);
  clearTimeout(over);
  if (failures.length > 0) state.ended = failures[0] ?? "";
  latenciesMs.sort((a, b) => a - b);
  const percentile = (share: number): number => latenciesMs[Math.floor(latenciesMs.length * share)] ?? 0;
  const heldMs = performance.now() - started;
  return { ...state, p50Ms: percentile(0.5), p99Ms: percentile(0.99), heldMs, failures };
}

async function churn(host: string, port: number, seconds: number, rate = 100): Promise<unknown> {
  const results: Promise<{ ok: boolean; startedAt: number; endedAt: number }>[] = [];
  const one = async (startedAt: number) => ({ ok: await echoOnce(host, port), startedAt, endedAt: performance.now() });
  const started = performance.now();
  for (let n = 0; n < seconds * rate; n++) {
    // Catches up after a pause, but not at once: a burst would be another test.
    const waitMs = Math.max(started + (n * 1000) / rate - performance.now(), 500 / rate);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    results.push(one(performance.now()));
  }
  const all = await Promise.all(results);
  const failed = all.filter(({ ok }) => !ok);
  const firstFailedAt = Math.min(...failed.map(({ endedAt }) => endedAt));
  const later = failed.filter(({ startedAt }) => startedAt > firstFailedAt);
  const counts = { ok: all.length - failed.length, failed: failed.length, failedLater: later.length };
  return { ...counts, failures: failures.slice(0, 5) };
}

async function idle(host: string, port: number, count: number): Promise<unknown> {
  const sockets: Socket[] = [];
  for (let n = 0; n < count; n += 100) {
    sockets.push(...(await Promise.all(Array.from({ length: Math.min(100, count - n) }, () => dial(host, port)))));
  }
  process.stderr.write("open\n");
  process.stdin.resume();
  await once(process.stdin, "end");
  let alive = 0;
  for (let at = 0; at < sockets.length; at += 200) {
    const batch = sockets.slice(at, at + 200).map(async (socket) => {
      socket.write("x");
      await Promise.race([once(socket, "data"), once(socket, "close")]);
      return !socket.destroyed;
    });
    alive += (await Promise.all(batch)).filter(Boolean).length;
  }
  return { open: sockets.length, alive, failures: failures.slice(0, 5) };
}

async function udp(host: string, port: number): Promise<unknown> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  socket.send("datagram", port, host);
  const timer = setTimeout(() => socket.emit("message", Buffer.alloc(0)), 15_000);
  const [answer] = (await once(socket, "message")) as [Buffer];
  clearTimeout(timer);
  socket.close();
  return { answer: answer.toString("utf8") };
}

async function closed(host: string, port: number): Promise<unknown> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  socket.connect(port, host);
  await once(socket, "connect");
  socket.send("datagram");
  const timer = setTimeout(() => socket.emit("error", { code: "no ICMP within 15 s" }), 15_000);
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => socket.once("error", resolve));
  clearTimeout(timer);
  return { error: error.code };
}

const [mode = "", host = "", portText = "", third = "", fourth = ""] = process.argv.slice(2);
const port = Number(portText);
const MODES: Readonly<Record<string, () => Promise<unknown>>> = {
  echo: () => echo(host, port, third || undefined),
  talk: () => talk(host, port),
  read: () => read(host, port),
  upload: () => upload(host, port, Number(third)),
  download: () => download(host, port, Number(third)),
  both: () => both(host, port, Number(third)),
  ended: () => echo(host, port, third),
  late: () => late(host, port, Number(third)),
  many: () => many(host, port, Number(third), Number(fourth || 1)),
  flood: () => flood(host, port, Number(third)),
  stream: () => stream(host, port, third),
  churn: () => churn(host, port, Number(third), fourth ? Number(fourth) : undefined),
  idle: () => idle(host, port, Number(third)),
  udp: () => udp(host, port),
  closed: () => closed(host, port),
};
const run = MODES[mode];
if (!run) throw new Error(`expected one of ${Object.keys(MODES).join(", ")}, got "${mode}"`);
try {
  process.stdout.write(`${JSON.stringify(await run())}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: (error as NodeJS.ErrnoException).code ?? String(error) })}\n`);
}
process.exit(0);
