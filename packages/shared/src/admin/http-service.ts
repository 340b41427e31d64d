import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ErrorCode, MeshError } from "../errors/index.ts";
import { type IpAddress, ipOf, isLoopback, parseIp, type SocketAddress } from "../net/index.ts";

const HEADER_TIMEOUT_MS = 2_000;
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_HEADER_BYTES = 8 * 1024;
const MAX_BODY_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 128;

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  header(name: string): string | undefined;
  /** At most 64 KiB. */
  readonly body: string;
}

export interface HttpAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

export interface Route {
  /** Absent = any method. Another method on a known path answers 405. */
  readonly method?: "GET" | "POST";
  /** An exact path, or a pattern whose groups the handler gets. */
  readonly path: string | RegExp;
  handle(request: HttpRequest, ...groups: readonly string[]): HttpAnswer | Promise<HttpAnswer>;
}

export interface HttpServiceInit {
  readonly routes: readonly Route[];
  /** Absent = wildcard, dual stack where there is IPv6. */
  readonly ip?: IpAddress;
  /** 0 = any free port. */
  readonly port: number;
  /**
   * Only loopback callers that also name a loopback host: neither another machine nor a web page by DNS rebinding
   * gets in. The listener must be bound to loopback as well; this is the second lock.
   */
  readonly loopbackOnly: boolean;
  onError(error: Error): void;
}

export interface HttpService {
  readonly address: SocketAddress;
  /** Stops accepting, lets requests in flight end for `graceMs`, then cuts. */
  close(graceMs: number): Promise<void>;
}

/** A small HTTP/1.1 server for admin, metrics and readiness, with timeouts and caps everywhere. @throws MeshError PLATFORM_CALL_FAILED when it cannot listen */
export async function startHttpService(init: HttpServiceInit): Promise<HttpService> {
  if (init.loopbackOnly && (init.ip === undefined || !isLoopback(init.ip))) {
    throw new MeshError(ErrorCode.CONFIG_INVALID, `expected a loopback address to bind to, got ${init.ip ?? "any"}`);
  }
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADER_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) => void respond(init, request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.maxHeadersCount = 100;
  server.on("clientError", (_error, socket) => {
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    else socket.destroy();
  });
  await listen(server, init);
  server.on("error", init.onError);
  const bound = server.address() as AddressInfo;
  return { address: { ip: ipOf(bound.address), port: bound.port }, close: (graceMs) => close(server, graceMs) };
}

function listen(server: Server, { ip, port }: HttpServiceInit): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      const where = `${ip ?? "*"}:${port}`;
      reject(
        new MeshError(ErrorCode.PLATFORM_CALL_FAILED, `cannot listen on ${where}: ${error.message}`, { cause: error }),
      );
    });
    server.listen({ port, ...(ip === undefined ? {} : { host: ip }) }, () => {
      server.removeAllListeners("error");
      resolve();
    });
  });
}

function close(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), graceMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}

async function respond(init: HttpServiceInit, request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.on("error", () => {});
  request.on("error", () => {});
  let answer: HttpAnswer;
  try {
    answer =
      init.loopbackOnly && !isLocalCaller(request)
        ? text(403, "loopback callers only\n")
        : await route(init.routes, request);
  } catch (error) {
    init.onError(MeshError.from(error, ErrorCode.INVARIANT_VIOLATED));
    answer = text(500, "internal error, see the log\n");
  }
  if (response.destroyed) return;
  const body = typeof answer.body === "string" ? Buffer.from(answer.body) : answer.body;
  response.writeHead(answer.status ?? 200, {
    "content-type": "text/plain; charset=utf-8",
    "x-content-type-options": "nosniff",
    ...answer.headers,
    "content-length": body.length,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

async function route(routes: readonly Route[], request: IncomingMessage): Promise<HttpAnswer> {
  const url = parseTarget(request.url ?? "/");
  if (!url) return text(400, "expected a path\n");
  let pathKnown = false;
  for (const each of routes) {
    const groups = matchPath(each.path, url.pathname);
    if (!groups) continue;
    pathKnown = true;
    const method = request.method === "HEAD" ? "GET" : request.method;
    if (each.method !== undefined && each.method !== method) continue;
    const body = await readBody(request);
    if (body === undefined) return text(413, `expected a body of at most ${MAX_BODY_BYTES} bytes\n`);
    const { method: asked = "GET", headers } = request;
    const header = (name: string): string | undefined => headers[name]?.toString();
    return each.handle({ method: asked, path: url.pathname, query: url.searchParams, header, body }, ...groups);
  }
  return pathKnown ? text(405, "method not allowed\n") : text(404, "not found\n");
}

function matchPath(pattern: string | RegExp, path: string): readonly string[] | undefined {
  if (typeof pattern === "string") return pattern === path ? [] : undefined;
  return pattern.exec(path)?.slice(1);
}

function parseTarget(target: string): URL | undefined {
  return target.startsWith("/") && URL.canParse(`http://admin${target.replace(/^\/+/, "/")}`)
    ? new URL(`http://admin${target.replace(/^\/+/, "/")}`)
    : undefined;
}

/** Undefined when the body is too large. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function isLocalCaller(request: IncomingMessage): boolean {
  const remote = parseIp(request.socket.remoteAddress ?? "");
  if (!remote.ok || !isLoopback(remote.value)) return false;
  const host = (request.headers.host ?? "localhost").replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  if (host.toLowerCase() === "localhost") return true;
  const named = parseIp(host);
  return named.ok && isLoopback(named.value);
}

/** A plain answer. */
export const text = (status: number, body: string): HttpAnswer => ({ status, body });

/** Pretty JSON. */
export const json = (value: unknown, status = 200): HttpAnswer => ({
  status,
  headers: { "content-type": "application/json" },
  body: `${JSON.stringify(value, null, 2)}\n`,
});
