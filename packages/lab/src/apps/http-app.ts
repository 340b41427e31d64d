/** What the shop's HTTP programs share: a small server that never dies, and calls to one another. */
import { createServer, type IncomingHttpHeaders, request } from "node:http";
import { dial } from "./dial.ts";

/** Headers of a trace. All a program does for tracing is to send on what it got. */
const TRACE_HEADERS = ["traceparent", "tracestate", "x-request-id"] as const;

export type TraceContext = Readonly<Record<string, string>>;

export interface Call {
  readonly path: string;
  readonly trace: TraceContext;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const CALL_TIMEOUT_MS = 3_000;
const MAX_BODY_BYTES = 256 * 1024;

/** `handle` may reject: that is a 502 with the reason. `/healthz` answers by itself. */
export function serveHttp(name: string, handle: (call: Call) => Promise<Answer>): void {
  const port = Number(process.env["PORT"] ?? 8080);
  const server = createServer((incoming, response) => {
    const path = incoming.url ?? "/";
    const answer =
      path === "/healthz"
        ? Promise.resolve({ status: 200, body: { ok: true } })
        : handle({ path, trace: traceOf(incoming.headers) });
    answer
      .catch((error: unknown) => ({ status: 502, body: { error: reasonOf(error) } }))
      .then(({ status, body }) => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(`${JSON.stringify({ app: name, ...(body as object) })}\n`);
        if (path !== "/healthz")
          process.stdout.write(`${name} ${path} ${status} for ${incoming.socket.remoteAddress}\n`);
      });
    response.on("error", () => response.destroy());
  });
  server.on("error", (error) => {
    process.stderr.write(`${name}: ${error.message}\n`);
    setTimeout(() => listen(), 500);
  });
  // Without namespaces every pod is one address of the same machine.
  const listen = (): unknown =>
    server.listen({ port, ...(process.env["POD_IP"] ? { host: process.env["POD_IP"] } : {}) });
  listen();
}

function traceOf(headers: IncomingHttpHeaders): TraceContext {
  return Object.fromEntries(
    TRACE_HEADERS.flatMap((name) => {
      const value = headers[name];
      return typeof value === "string" ? [[name, value]] : [];
    }),
  );
}

/** The body of a GET, parsed; rejects on anything but 200. */
export async function callHttp(url: string, trace: TraceContext): Promise<unknown> {
  const { hostname, port, host, pathname } = new URL(url);
  const socket = await dial(hostname, Number(port || 80));
  return new Promise((resolve, reject) => {
    const call = request(
      { path: pathname, headers: { ...trace, host, connection: "close" }, createConnection: () => socket },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => {
          if (text.length < MAX_BODY_BYTES) text += part;
        });
        response.on("error", reject);
        response.on("end", () => {
          if (response.statusCode === 200) resolve(parseJson(text));
          else reject(new Error(`${url} answered ${response.statusCode}: ${text.slice(0, 200).trim()}`));
        });
      },
    );
    call.setTimeout(CALL_TIMEOUT_MS, () => call.destroy(new Error(`${url} timed out`)));
    call.on("error", reject);
    socket.once("close", () => reject(new Error(`${url} closed without an answer`)));
    call.end();
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export const reasonOf = (error: unknown): string =>
  (error as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : String(error));
