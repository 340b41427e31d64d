/** Reads the server name out of a TLS ClientHello. Total and bounded: any bytes give an answer. Pure. */

/** What the bytes of a connection's beginning say, read as TLS. */
export type ClientHello =
  | { readonly kind: "hello"; readonly sni?: string }
  | { readonly kind: "need-more" }
  /** No TLS, or none that any server would take. */
  | { readonly kind: "malformed" };

/** A ClientHello larger than this is not waited for; real ones are under 4 KiB. Envoy's limit is 16 KiB as well. */
export const MAX_HELLO_BYTES = 16 * 1024;

const RECORD_HEADER_BYTES = 5;
const HANDSHAKE = 0x16;
const CLIENT_HELLO = 0x01;
const SERVER_NAME = 0;
const HOST_NAME = 0;

const NEED_MORE: ClientHello = { kind: "need-more" };
const MALFORMED: ClientHello = { kind: "malformed" };

/**
 * Spec: RFC 8446 section 4.1.2 (ClientHello), RFC 6066 section 3 (server_name). The name is lower case and printable, or
 * absent.
 */
export function readClientHello(bytes: Buffer): ClientHello {
  const message = joinRecords(bytes);
  if (message === "malformed") return MALFORMED;
  const { content, isComplete } = message;
  if (content.length > 0 && content[0] !== CLIENT_HELLO) return MALFORMED;
  if (content.length < 4) return isComplete ? MALFORMED : NEED_MORE;
  const length = content.readUIntBE(1, 3);
  if (length > MAX_HELLO_BYTES) return MALFORMED;
  if (content.length < 4 + length) return isComplete ? MALFORMED : NEED_MORE;
  const sni = serverNameOf(new Cursor(content.subarray(4, 4 + length)));
  if (sni === "malformed") return MALFORMED;
  return sni === undefined ? { kind: "hello" } : { kind: "hello", sni: sni.name };
}

/** The handshake bytes of the records that are there. A hello may be spread over several. */
function joinRecords(bytes: Buffer): { readonly content: Buffer; readonly isComplete: boolean } | "malformed" {
  const parts: Buffer[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const header = bytes.subarray(offset, offset + RECORD_HEADER_BYTES);
    if (!looksLikeHandshake(header))
      return offset === 0 ? "malformed" : { content: Buffer.concat(parts), isComplete: true };
    if (header.length < RECORD_HEADER_BYTES) break;
    const length = header.readUInt16BE(3);
    if (length === 0 || length > MAX_HELLO_BYTES) return "malformed";
    parts.push(bytes.subarray(offset + RECORD_HEADER_BYTES, offset + RECORD_HEADER_BYTES + length));
    offset += RECORD_HEADER_BYTES + length;
  }
  return { content: Buffer.concat(parts), isComplete: false };
}

/** As far as the header is there: a handshake record of version 3.0 to 3.4. */
function looksLikeHandshake(header: Buffer): boolean {
  const [type, major = 3, minor = 1] = header;
  return type === HANDSHAKE && major === 3 && minor <= 4;
}

/** `undefined`: the hello names nobody. */
function serverNameOf(hello: Cursor): { readonly name: string } | "malformed" | undefined {
  hello.skip(2 + 32);
  hello.skip(hello.uint8());
  hello.skip(hello.uint16());
  hello.skip(hello.uint8());
  if (!hello.isValid) return "malformed";
  // TLS 1.0 allows a hello to end here.
  if (hello.isAtEnd) return undefined;
  const extensions = hello.part(hello.uint16());
  while (!extensions.isAtEnd) {
    const type = extensions.uint16();
    const body = extensions.part(extensions.uint16());
    if (!extensions.isValid) return "malformed";
    if (type === SERVER_NAME) return hostNameOf(body);
  }
  return hello.isValid ? undefined : "malformed";
}

function hostNameOf(extension: Cursor): { readonly name: string } | "malformed" {
  const list = extension.part(extension.uint16());
  const type = list.uint8();
  const name = list.part(list.uint16());
  if (!extension.isValid || !list.isValid || type !== HOST_NAME) return "malformed";
  const text = name.rest().toString("latin1").toLowerCase();
  return HOSTNAME.test(text) ? { name: text } : "malformed";
}

/** What a log, a policy and a route may safely hold. Spec: RFC 6066 section 3 (ASCII, no trailing dot). */
const HOSTNAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;

/** Reads forwards; past the end everything is zero and empty, and `isValid` says so from then on. */
class Cursor {
  readonly #bytes: Buffer;
  #offset = 0;
  #overrun = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isValid(): boolean {
    return !this.#overrun;
  }

  get isAtEnd(): boolean {
    return this.#overrun || this.#offset >= this.#bytes.length;
  }

  uint8(): number {
    return this.#take(1)?.readUInt8() ?? 0;
  }

  uint16(): number {
    return this.#take(2)?.readUInt16BE() ?? 0;
  }

  skip(bytes: number): void {
    this.#take(bytes);
  }

  part(bytes: number): Cursor {
    return new Cursor(this.#take(bytes) ?? EMPTY);
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#offset);
  }

  #take(bytes: number): Buffer | undefined {
    if (this.#overrun || this.#offset + bytes > this.#bytes.length) {
      this.#overrun = true;
      return undefined;
    }
    const taken = this.#bytes.subarray(this.#offset, this.#offset + bytes);
    this.#offset += bytes;
    return taken;
  }
}

const EMPTY = Buffer.alloc(0);
