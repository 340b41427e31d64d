/** The server's side of a SOCKS5 handshake as pure parsing: no authentication, CONNECT only. Spec: RFC 1928 */
import { err, ok, type Result } from "@ambit/shared/errors";
import { ipFromBytes } from "@ambit/shared/net";

export interface ConnectRequest {
  readonly host: string;
  readonly port: number;
  /** Length of what was parsed; anything after it is the application's. */
  readonly bytes: number;
}

/** Longest greeting and request together. */
export const MAX_HANDSHAKE_BYTES = 2 + 255 + 4 + 256 + 2;

const VERSION = 5;
const CONNECT = 1;

/** Length of the client's greeting; undefined while it is incomplete. */
export function parseGreeting(bytes: Buffer): Result<number | undefined> {
  const [version, methods] = bytes;
  if (version !== undefined && version !== VERSION) return err(`expected SOCKS version 5, got ${version}`);
  return ok(methods === undefined || bytes.length < 2 + methods ? undefined : 2 + methods);
}

/** Undefined while it is incomplete. */
export function parseRequest(bytes: Buffer): Result<ConnectRequest | undefined> {
  if (bytes.length < 5) return ok(undefined);
  if (bytes[0] !== VERSION || bytes[1] !== CONNECT) return err("expected a SOCKS5 CONNECT");
  const length = addressLength(bytes);
  if (length === undefined) return err(`expected an address of type 1, 3 or 4, got ${bytes[3]}`);
  const isName = bytes[3] === 3;
  const start = isName ? 5 : 4;
  if (bytes.length < start + length + 2) return ok(undefined);
  const address = bytes.subarray(start, start + length);
  const host = isName ? ok(address.toString("latin1")) : ipFromBytes(address);
  if (!host.ok) return host;
  return ok({ host: host.value, port: bytes.readUInt16BE(start + length), bytes: start + length + 2 });
}

function addressLength(bytes: Buffer): number | undefined {
  switch (bytes[3]) {
    case 1:
      return 4;
    case 3:
      return bytes[4];
    case 4:
      return 16;
    default:
      return undefined;
  }
}

export const SocksReply = { succeeded: 0, refused: 5, unsupported: 7 } as const;

/** No authentication. */
export const GREETING_ANSWER = Buffer.from([VERSION, 0]);

export const encodeSocksReply = (code: number): Buffer => Buffer.from([VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]);
