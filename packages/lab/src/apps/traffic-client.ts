/**
 * A small client that the demo and the tests run inside a pod. It speaks plain HTTP or TCP and knows nothing of the mesh.
 *
 *   get URL [METHOD [NAME:VALUE...]]   one request; prints {status, headers, body, error}
 *   loop URL RATE SECONDS              paced requests, a connection each; prints {sent, failed, firstError, ...}
 *   many URL REQUESTS CONNECTIONS      as fast as they are answered, over kept connections; prints the same
 *   banner HOST PORT                   connects and says nothing; prints {banner, error} (a server-first protocol)
 *   hold HOST PORT SECONDS [LINE]      keeps one connection open, a line every 100 ms; prints {lines, heldMs, ended}
 */
import { dial } from "./dial.ts";
import { type GetResult, get, loop, many, reasonOf } from "./http-calls.ts";

function getWith(url: string, method: string | undefined, headers: readonly string[]): Promise<GetResult> {
  const pairs = headers.map((text) => [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1).trim()]);
  return get(url, { method: method || "GET", headers: Object.fromEntries(pairs) as Record<string, string> });
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

function run([verb, ...args]: readonly string[]): Promise<unknown> {
  const [first = "", second = "", third = "", line = "ping"] = args;
  switch (verb) {
    case "get":
      return getWith(first, args[1], args.slice(2));
    case "loop":
      return loop(first, Number(second), Number(third));
    case "many":
      return many(first, Number(second), Number(third));
    case "banner":
      return banner(first, Number(second));
    case "hold":
      return hold(first, Number(second), Number(third), line);
    default:
      return Promise.reject(new Error(`expected get, loop, many, banner or hold, got "${verb}"`));
  }
}

process.stdout.write(`${JSON.stringify(await run(process.argv.slice(2)))}\n`);
// The server keeps idle connections open; nobody waits for them.
process.exit(0);
