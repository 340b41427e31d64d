/**
 * An HTTP server that tells what reached it, run inside a pod by end-to-end tests: HTTP/1.1 on 8080, HTTP/2 cleartext with
 * prior knowledge on 8081. The answer is JSON: {pod, method, path, headers, bodyBytes, peer}. The query asks for more:
 *   status=N        that status                     delay=MS        waits before it answers
 *   bytes=N         N bytes follow the JSON as `padding`
 *   fail=N          the first N requests with this path get 503
 */
import { createServer } from "node:http";
import { createServer as createH2cServer } from "node:http2";

const HTTP_PORT = 8080;
const H2C_PORT = 8081;
const MAX_PADDING = 16 * 1024 * 1024;
const MAX_PATHS = 10_000;
const failuresByPath = new Map<string, number>();

interface Incoming {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: object;
  readonly socket: { readonly remoteAddress?: string | undefined };
  on(event: "data", listener: (chunk: Buffer) => void): unknown;
  on(event: "end" | "error", listener: () => void): unknown;
}

interface Outgoing {
  writeHead(status: number, headers: Record<string, string>): unknown;
  end(text: string): unknown;
  on(event: "error", listener: () => void): unknown;
}

function answer(request: Incoming, response: Outgoing): void {
  let bodyBytes = 0;
  request.on("error", () => {});
  response.on("error", () => {});
  request.on("data", (chunk) => {
    bodyBytes += chunk.length;
  });
  request.on("end", () => {
    const url = new URL(request.url ?? "/", "http://pod");
    const number = (name: string): number => Number(url.searchParams.get(name) ?? 0);
    const body = {
      pod: process.env["HOSTNAME"] ?? "",
      method: request.method,
      path: request.url,
      headers: request.headers,
      bodyBytes,
      peer: request.socket.remoteAddress,
      padding: "x".repeat(Math.min(number("bytes"), MAX_PADDING)),
    };
    const status = shouldFail(url.pathname, number("fail")) ? 503 : number("status") || 200;
    setTimeout(() => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(`${JSON.stringify(body)}\n`);
    }, number("delay"));
  });
}

function shouldFail(path: string, times: number): boolean {
  const seen = failuresByPath.get(path) ?? 0;
  if (seen >= times || failuresByPath.size >= MAX_PATHS) return false;
  failuresByPath.set(path, seen + 1);
  return true;
}

const host = process.env["POD_IP"];
const at = (port: number) => ({ port, ...(host ? { host } : {}) });

createServer((request, response) => answer(request, response)).listen(at(HTTP_PORT));
const h2c = createH2cServer((request, response) => answer(request, response));
h2c.on("sessionError", () => {});
h2c.listen(at(H2C_PORT));
