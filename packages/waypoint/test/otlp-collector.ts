/** Stand-in collectors on real sockets: OTLP/HTTP by node:http, OTLP/gRPC by @grpc/grpc-js. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";

export interface Received {
  readonly path: string;
  readonly contentType: string | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

export interface HttpCollector extends AsyncDisposable {
  readonly url: URL;
  readonly received: Received[];
  /** Answers instead of 200 `{}`; the first entries first. */
  readonly answers: ((response: ServerResponse) => void)[];
}

export async function startHttpCollector(): Promise<HttpCollector> {
  const received: Received[] = [];
  const answers: ((response: ServerResponse) => void)[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { url: path = "", headers } = request;
      received.push({ path, contentType: headers["content-type"], headers, body: Buffer.concat(chunks) });
      const answer = answers.shift();
      if (answer) answer(response);
      else response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}`),
    received,
    answers,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

export interface GrpcCollector extends AsyncDisposable {
  readonly url: URL;
  /** Serialized export requests, and messages of the access log service. */
  readonly received: Buffer[];
  /** Metadata of each call. */
  readonly metadata: Readonly<Record<string, unknown>>[];
  /** gRPC statuses to answer with, first ones first; then OK. */
  readonly statuses: number[];
  /** Serialized ExportTraceServiceResponse of an OK. */
  answer: Buffer;
}

const bytes = (value: Buffer): Buffer => value;

const method = (path: string, requestStream: boolean) => ({
  path,
  requestStream,
  responseStream: false,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});

export async function startGrpcCollector(): Promise<GrpcCollector> {
  const server = new Server();
  const collector = {
    received: [] as Buffer[],
    metadata: [] as Readonly<Record<string, unknown>>[],
    statuses: [] as number[],
    answer: Buffer.alloc(0),
  };
  const answer = (reply: sendUnaryData<Buffer>): void => {
    const code = collector.statuses.shift() ?? status.OK;
    if (code === status.OK) reply(null, collector.answer);
    else reply({ code, details: "scripted" });
  };
  const unary = (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>): void => {
    collector.metadata.push(call.metadata.getMap());
    collector.received.push(call.request);
    answer(reply);
  };
  const stream = (call: ServerReadableStream<Buffer, Buffer>, reply: sendUnaryData<Buffer>): void => {
    collector.metadata.push(call.metadata.getMap());
    call.on("data", (message: Buffer) => collector.received.push(message));
    call.on("error", () => {});
    call.on("end", () => answer(reply));
  };
  server.addService(
    {
      traces: method("/opentelemetry.proto.collector.trace.v1.TraceService/Export", false),
      logs: method("/opentelemetry.proto.collector.logs.v1.LogsService/Export", false),
      als: method("/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs", true),
    },
    { traces: unary, logs: unary, als: stream },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return Object.assign(collector, {
    url: new URL(`http://127.0.0.1:${port}`),
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  });
}
