/**
 * gRPC-Web's form of a call: the media types, base64 of the text form, and the trailers as the last frame of a body. Pure.
 * Spec: grpc doc/PROTOCOL-WEB.md
 */
import type { HeaderList } from "@ambit/shared/http2";

/** Bytes as they are, or as base64. */
export type WebFormat = "binary" | "text";

const MEDIA_TYPE = /^application\/grpc-web(-text)?(\+[^;\s]+)?\s*(?:;|$)/i;
const TRAILERS_FLAG = 0x80;

const only = (headers: HeaderList, name: string): string | undefined => {
  const values = headers.filter(([field]) => field === name);
  return values.length === 1 ? values[0]?.[1] : undefined;
};

/** Undefined: not gRPC-Web. */
export function requestFormat(headers: HeaderList): WebFormat | undefined {
  const match = MEDIA_TYPE.exec(only(headers, "content-type") ?? "");
  if (!match) return undefined;
  return match[1] ? "text" : "binary";
}

/** What the caller wants to be answered in: its `accept`, else what it sends. */
export function answerFormat(headers: HeaderList, sent: WebFormat): WebFormat {
  const accepted = headers.filter(([name]) => name === "accept").map(([, value]) => value.toLowerCase());
  if (accepted.some((value) => value.includes("application/grpc-web-text"))) return "text";
  return accepted.some((value) => value.includes("application/grpc-web")) ? "binary" : sent;
}

/** The fields of a gRPC call in place of those of gRPC-Web. */
export function toGrpcFields(headers: HeaderList): HeaderList {
  const message = MEDIA_TYPE.exec(only(headers, "content-type") ?? "")?.[2] ?? "";
  const kept = headers.filter(([name]) => name !== "content-type" && name !== "te" && name !== "content-length");
  return [...kept, ["content-type", `application/grpc${message}`], ["te", "trailers"]];
}

const GRPC_ANSWER = /^application\/grpc(\+[^;\s]+)?\s*(?:;|$)/i;

/** Undefined: the answer is not gRPC's, and stays as it is. */
export function toWebFields(headers: HeaderList, format: WebFormat): HeaderList | undefined {
  const match = GRPC_ANSWER.exec(only(headers, "content-type") ?? "");
  if (!match) return undefined;
  const type = `application/grpc-web${format === "text" ? "-text" : ""}${match[1] ?? "+proto"}`;
  return headers
    .filter(([name]) => name !== "content-length" && name !== "trailer")
    .map(([name, value]) => (name === "content-type" ? [name, type] : [name, value]));
}

export function trailersFrame(trailers: HeaderList): Buffer {
  const text = Buffer.from(trailers.map(([name, value]) => `${name}:${value}\r\n`).join(""), "latin1");
  const head = Buffer.alloc(5);
  head[0] = TRAILERS_FLAG;
  head.writeUInt32BE(text.length, 1);
  return Buffer.concat([head, text]);
}

const GROUP = 4;
const GROUPS = /^[A-Za-z0-9+/]*={0,2}$/;

/** Base64 that comes in pieces, each of which may have been padded by itself. */
export class Base64Pieces {
  #rest = "";

  /** Undefined: that is no base64. */
  push(piece: Buffer): Buffer | undefined {
    const text = this.#rest + piece.toString("latin1");
    const whole = text.length - (text.length % GROUP);
    this.#rest = text.slice(whole);
    const decoded: Buffer[] = [];
    let start = 0;
    while (start < whole) {
      const padding = text.indexOf("=", start);
      const end = padding < 0 || padding >= whole ? whole : padding - (padding % GROUP) + GROUP;
      const part = text.slice(start, end);
      if (!GROUPS.test(part)) return undefined;
      decoded.push(Buffer.from(part, "base64"));
      start = end;
    }
    return decoded.length === 1 ? decoded[0] : Buffer.concat(decoded);
  }

  /** Nothing of a group is missing. */
  get isComplete(): boolean {
    return this.#rest === "";
  }
}
