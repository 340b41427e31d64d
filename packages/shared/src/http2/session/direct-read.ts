/**
 * Reads a TLS socket into one buffer instead of a new one for each record. The records of a GB are 61 000 buffers
 * outside V8's heap, whose collection cost half a CPU second a GB (measured on Node 26).
 *
 * `net.Socket` offers this as `onread`, but `tls` does not pass it on for sockets it wraps. So what `onread` would have
 * set is set here: three symbol-keyed properties and one call on the handle. When they are not as expected, nothing is
 * changed, and the caller goes on with 'data' events.
 */
import { Socket, type SocketConstructorOpts } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

/** Node decrypts at most one record (16 KiB) at a time. */
const shared = Buffer.allocUnsafeSlow(64 * 1024);

interface Symbols {
  readonly buffer: symbol;
  readonly callback: symbol;
}

let symbols: Symbols | undefined | "unknown" = "unknown";

/** Sends what `transport` receives to `onBytes`, whose argument is valid only during the call. @returns whether it did */
export function readDirectly(transport: Duplex, onBytes: (bytes: Buffer) => void): boolean {
  if (!(transport instanceof TLSSocket)) return false;
  if (symbols === "unknown") symbols = findSymbols();
  const internals = transport as unknown as Record<symbol, unknown> & {
    _handle?: { useUserBuffer?(buffer: Buffer): void };
  };
  const handle = internals._handle;
  if (symbols === undefined || internals[symbols.buffer] !== null || typeof handle?.useUserBuffer !== "function")
    return false;
  internals[symbols.buffer] = shared;
  internals[symbols.callback] = (length: number, buffer: Buffer): boolean => {
    onBytes(buffer.subarray(0, length));
    return true;
  };
  handle.useUserBuffer(shared);
  return true;
}

/** The symbols under which this Node keeps `onread`, if it keeps it as we know it. */
function findSymbols(): Symbols | undefined {
  const buffer = Buffer.alloc(1);
  const callback = (): boolean => true;
  const probe = new Socket({ onread: { buffer, callback } } as SocketConstructorOpts);
  const values = probe as unknown as Record<symbol, unknown>;
  const named = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(probe).find((symbol) => symbol.description === name);
  const [forBuffer, forCallback, forGenerator] = [named("kBuffer"), named("kBufferCb"), named("kBufferGen")];
  if (forBuffer === undefined || forCallback === undefined || forGenerator === undefined) return undefined;
  const asKnown = values[forCallback] === callback && values[forGenerator] === null;
  return asKnown ? { buffer: forBuffer, callback: forCallback } : undefined;
}
