/**
 * Applications that write down every byte they were sent, and what node's parser made of it. `strictRequests` is a third
 * reader: it knows no leniency at all, so what passes it has one meaning only.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ipOf, type SocketAddress } from "@ambit/shared/net";

export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  /** `name: value`, names in lower case, as they came. */
  readonly fields: readonly string[];
  readonly body: string;
}

export interface RecordingBackend {
  readonly address: SocketAddress;
  /** As node's parser read them, complete ones only. */
  readonly requests: SeenRequest[];
  /** Bytes that arrived, a text (latin1) a connection. */
  raw(): readonly string[];
  /** Why node's parser refused bytes; a message cut short by its sender is not among them. */
  readonly faults: string[];
  close(): void;
}

export type Handle = (request: IncomingMessage, response: ServerResponse, seen: SeenRequest) => void;

export async function recordingBackend(
  handle: Handle = (_request, response) => response.end(),
): Promise<RecordingBackend> {
  const requests: SeenRequest[] = [];
  const connections: Buffer[][] = [];
  const sockets = new Set<Socket>();
  const faults: string[] = [];
  const server = createServer({ maxHeaderSize: 256 * 1024, noDelay: true }, async (request, response) => {
    const body = await bodyOf(request);
    if (body === undefined) return;
    const { method = "", url = "", rawHeaders } = request;
    const fields: string[] = [];
    for (let at = 0; at < rawHeaders.length; at += 2) {
      fields.push(`${rawHeaders[at]?.toLowerCase()}: ${rawHeaders[at + 1]}`);
    }
    const seen = { method, target: url, authority: request.headers.host ?? "", fields, body };
    requests.push(seen);
    handle(request, response, seen);
  });
  server.on("connection", (socket: Socket) => {
    const bytes: Buffer[] = [];
    connections.push(bytes);
    sockets.add(socket);
    socket.on("data", (chunk: Buffer) => bytes.push(Buffer.from(chunk)));
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code?.startsWith("HPE_") && error.code !== "HPE_INVALID_EOF_STATE") faults.push(error.code);
    socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: { ip: ipOf("127.0.0.1"), port: (server.address() as AddressInfo).port },
    requests,
    raw: () => connections.map((bytes) => Buffer.concat(bytes).toString("latin1")),
    faults,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch {
    return undefined;
  }
  return Buffer.concat(chunks).toString("latin1");
}

const LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP\/1\.1$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9a-z-]+): ([\t\x20-\x7e\x80-\xff]*)$/;

/**
 * All requests of one connection's bytes; what was cut short at the end is left out.
 *
 * @throws what no strict reader takes: another line end than CRLF, a field twice that frames, both framings at once
 */
export function strictRequests(bytes: string): readonly SeenRequest[] {
  const requests: SeenRequest[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf("\r\n\r\n", at);
    if (end < 0) break;
    const [first = "", ...lines] = bytes.slice(at, end).split("\r\n");
    const line = LINE.exec(first);
    if (!line) throw new Error(`request line ${JSON.stringify(first)}`);
    const fields = lines.map((text) => {
      if (!FIELD.test(text)) throw new Error(`field ${JSON.stringify(text)}`);
      return text;
    });
    const content = strictBody(bytes, end + 4, fields);
    if (content === undefined) break;
    const { body, next } = content;
    const authority = only(fields, "host") ?? "";
    requests.push({ method: line[1] ?? "", target: line[2] ?? "", authority, fields, body });
    at = next;
  }
  return requests;
}

function strictBody(bytes: string, at: number, fields: readonly string[]) {
  const coding = only(fields, "transfer-encoding");
  const length = only(fields, "content-length");
  if (coding === undefined) {
    if (length !== undefined && !/^(0|[1-9]\d*)$/.test(length)) throw new Error(`content-length ${length}`);
    const next = at + Number(length ?? 0);
    return next > bytes.length ? undefined : { body: bytes.slice(at, next), next };
  }
  if (coding !== "chunked" || length !== undefined) throw new Error(`framed by ${coding} and ${length}`);
  return strictChunks(bytes, at);
}

function strictChunks(bytes: string, start: number): { body: string; next: number } | undefined {
  let body = "";
  for (let at = start; ; ) {
    const end = bytes.indexOf("\r\n", at);
    if (end < 0) return undefined;
    const digits = bytes.slice(at, end);
    if (!/^[0-9a-f]{1,8}$/i.test(digits)) throw new Error(`chunk size ${JSON.stringify(digits)}`);
    const size = Number.parseInt(digits, 16);
    if (size === 0) return strictTrailers(bytes, end, body);
    if (end + 2 + size + 2 > bytes.length) return undefined;
    body += bytes.slice(end + 2, end + 2 + size);
    at = end + 2 + size;
    if (bytes.slice(at, at + 2) !== "\r\n") throw new Error("a chunk without its line end");
    at += 2;
  }
}

/** @param at  the line end of the last chunk's size */
function strictTrailers(bytes: string, at: number, body: string): { body: string; next: number } | undefined {
  const end = bytes.indexOf("\r\n\r\n", at);
  if (end < 0) return undefined;
  for (const text of bytes.slice(at + 2, end).split("\r\n")) {
    if (end > at && !FIELD.test(text)) throw new Error(`trailer ${JSON.stringify(text)}`);
  }
  return { body, next: end + 4 };
}

function only(fields: readonly string[], name: string): string | undefined {
  const found = fields.filter((text) => text.startsWith(`${name}: `));
  if (found.length > 1) throw new Error(`${name} more than once`);
  return found[0]?.slice(name.length + 2);
}
