/**
 * A small OpenTelemetry collector: keeps the latest spans and shows them.
 *
 *   OTLP/gRPC on GRPC_PORT (4317); OTLP/HTTP with JSON on PORT (4318), POST /v1/traces
 *   GET /spans?trace=ID on PORT: {spans: [...]} of that trace, or of all of them; GET /healthz
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { type CollectedSpan, spansOfJson, spansOfProtobuf } from "./spans.ts";

const MAX_SPANS = 10_000;
const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** Of a gRPC message: a byte that says "compressed", and the length. */
const PREFIX_BYTES = 5;
const GRPC_OK = { "grpc-status": "0" };
const GRPC_INVALID_ARGUMENT = { "grpc-status": "3" };

const spans: CollectedSpan[] = [];

function keep(more: readonly CollectedSpan[]): void {
  spans.push(...more);
  spans.splice(0, Math.max(0, spans.length - MAX_SPANS));
}

/** The whole body. Rejects when it is too large or the peer goes away. */
async function bodyOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error("the body is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** One unary call: whatever its path is, it can only be Export. */
async function serveGrpc(stream: ServerHttp2Stream): Promise<void> {
  let trailers: Record<string, string> = GRPC_OK;
  try {
    const body = await bodyOf(stream);
    if (body[0] !== 0 || body.length - PREFIX_BYTES !== body.readUInt32BE(1)) throw new Error("no plain gRPC message");
    keep(spansOfProtobuf(body.subarray(PREFIX_BYTES)));
  } catch {
    trailers = GRPC_INVALID_ARGUMENT;
  }
  if (stream.destroyed) return;
  stream.once("wantTrailers", () => stream.sendTrailers(trailers));
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.end(Buffer.alloc(PREFIX_BYTES));
}

async function serveHttp(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  response.on("error", () => response.destroy());
  const url = new URL(incoming.url ?? "/", "http://collector");
  const say = (status: number, body: object): void => {
    response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
  };
  try {
    if (incoming.method === "POST" && url.pathname === "/v1/traces") {
      keep(spansOfJson((await bodyOf(incoming)).toString("utf8")));
      say(200, {});
    } else if (url.pathname === "/spans") {
      const trace = url.searchParams.get("trace");
      say(200, { spans: spans.filter(({ traceId }) => trace === null || traceId === trace) });
    } else say(url.pathname === "/healthz" ? 200 : 404, {});
  } catch (error) {
    say(400, { error: String(error) });
  }
}

const http2 = createHttp2Server();
http2.on("sessionError", () => {});
http2.on("stream", (stream: ServerHttp2Stream) => {
  stream.on("error", () => stream.destroy());
  void serveGrpc(stream);
});
const http = createServer((incoming, response) => void serveHttp(incoming, response));

for (const [server, port] of [
  [http2, Number(process.env["GRPC_PORT"] ?? 4317)],
  [http, Number(process.env["PORT"] ?? 4318)],
] as const) {
  const host = process.env["POD_IP"];
  const listen = (): unknown => server.listen({ port, ...(host ? { host } : {}) });
  server.on("error", (error: Error) => {
    process.stderr.write(`trace-collector: ${error.message}\n`);
    setTimeout(listen, 500);
  });
  listen();
}
