import type { IncomingMessage, ServerResponse } from "node:http";
import { ErrorCode, MeshError } from "@ambit/shared/errors";

const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** The JSON body; `{}` when there is none. Throws MeshError CONFIG_INVALID. */
export async function readBody(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES)
      throw new MeshError(ErrorCode.CONFIG_INVALID, `expected a body of at most ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  if (text === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new MeshError(ErrorCode.CONFIG_INVALID, "expected a body that is a JSON object");
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

export function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  const failure = MeshError.from(error, ErrorCode.INVARIANT_VIOLATED);
  const status = failure.code === ErrorCode.INVARIANT_VIOLATED ? 500 : 422;
  sendJson(response, status, { code: failure.code, message: failure.message });
}
