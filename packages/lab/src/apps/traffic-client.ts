/**
 * A small client that the demo and the tests run inside a pod. It speaks plain HTTP or TCP and knows nothing of the mesh.
 *
 *   get URL                          one request; prints {status, body, error}
 *   loop URL RATE SECONDS            paced requests; prints {sent, failed, firstError}
 *   banner HOST PORT                 connects and says nothing; prints {banner, error} (a server-first protocol)
 *   hold HOST PORT SECONDS [LINE]    keeps one connection open, a line every 100 ms; prints {lines, heldMs, ended}
 */
import { request } from "node:http";
import type { Socket } from "node:net";
import { dial } from "./dial.ts";

interface GetResult {
  readonly status: number;
  readonly body: string;
  readonly error: string;
}

async function get(url: string, timeoutMs = 5_000): Promise<GetResult> {
  const { hostname, port } = new URL(url);
  let socket: Socket;
  try {
    socket = await dial(hostname, Number(port || 80));
  } catch (error) {
    return { status: 0, body: "", error: reasonOf(error) };
  }
  return new Promise((resolve) => {
    const call = request(url, { timeout: timeoutMs, createConnection: () => socket }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body, error: "" }));
      response.on("error", (error) => resolve({ status: 0, body, error: reasonOf(error) }));
    });
    call.on("timeout", () => call.destroy(new Error("timed out")));
    call.on("error", (error) => resolve({ status: 0, body: "", error: reasonOf(error) }));
    // A connection that was cut before the request began gives no error, only this.
    call.on("close", () => resolve({ status: 0, body: "", error: "ECONNRESET" }));
    call.end();
  });
}

function reasonOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

async function loop(url: string, ratePerSecond: number, seconds: number): Promise<unknown> {
  const calls: Promise<GetResult>[] = [];
  const started = performance.now();
  for (let n = 0; n < ratePerSecond * seconds; n++) {
    const waitMs = started + (n * 1000) / ratePerSecond - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    calls.push(get(url));
  }
  const results = await Promise.all(calls);
  const failed = results.filter((result) => result.status !== 200);
  return {
    sent: results.length,
    failed: failed.length,
    firstError: failed[0]?.error || String(failed[0]?.status ?? ""),
  };
}

async function banner(host: string, port: number): Promise<unknown> {
  try {
    const socket = await dial(host, port);
    return await new Promise((resolve) => {
      const finish = (result: { banner: string; error: string }): void => {
        resolve(result);
        socket.destroy();
      };
      socket.setTimeout(3_000, () => finish({ banner: "", error: "no banner within 3 s" }));
      socket.once("data", (data) => finish({ banner: data.toString("utf8").split("\n")[0] ?? "", error: "" }));
      socket.once("error", (error) => finish({ banner: "", error: reasonOf(error) }));
      socket.once("close", () => finish({ banner: "", error: "closed without a banner" }));
    });
  } catch (error) {
    return { banner: "", error: reasonOf(error) };
  }
}

async function hold(host: string, port: number, seconds: number, line: string): Promise<unknown> {
  const started = performance.now();
  const state = { lines: 0, ended: "time is up" };
  const socket = await dial(host, port);
  process.stderr.write("connected\n");
  return new Promise((resolve) => {
    const ticker = setInterval(() => socket.write(`${line}\n`), 100);
    const finish = setTimeout(() => socket.destroy(), seconds * 1000);
    socket.on("data", () => {
      state.lines++;
    });
    socket.on("end", () => {
      state.ended = "closed by the other side";
      socket.end();
    });
    socket.on("error", (error) => {
      state.ended = reasonOf(error);
    });
    socket.on("close", () => {
      clearInterval(ticker);
      clearTimeout(finish);
      resolve({ ...state, heldMs: Math.round(performance.now() - started) });
    });
  });
}

function run([verb = "", first = "", second = "", third = "", line = "ping"]: string[]): Promise<unknown> {
  switch (verb) {
    case "get":
      return get(first);
    case "loop":
      return loop(first, Number(second), Number(third));
    case "banner":
      return banner(first, Number(second));
    case "hold":
      return hold(first, Number(second), Number(third), line);
    default:
      return Promise.reject(new Error(`expected get, loop, banner or hold, got "${verb}"`));
  }
}

process.stdout.write(`${JSON.stringify(await run(process.argv.slice(2)))}\n`);
// The server keeps idle connections open; nobody waits for them.
process.exit(0);
