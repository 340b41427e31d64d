/**
 * The sending side of an HTTP/1 connection. Head, body and end that come in one turn leave in one write; a body is copied
 * once, behind its chunk header.
 */
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { POOLED_PAYLOAD_BYTES, recycleFrame, takeBlock } from "@ambit/shared/http2";
import { chunkHeader } from "./chunked.ts";
import { atEndOfTurn, type TurnTask } from "./end-of-turn.ts";

/** A piece this long is worth a write of its own; shorter ones wait for the end of the turn. */
const LONG_BYTES = 16 * 1024;
/** Room kept behind a piece for what usually follows: the end of its chunk and the last chunk. */
const SPARE_BYTES = 16;
/** Above it the owner is asked to pause. */
const HIGH_WATER_BYTES = 256 * 1024;
/** Longest chunk header with the CRLF before it. */
const CHUNK_OVERHEAD = 24;

export class Http1Writer implements TurnTask {
  readonly #transport: Duplex;
  /** Head that waits for company. */
  #text = "";
  #bytes: Buffer | undefined;
  #fill = 0;
  #due = false;
  #roomy = true;
  #open = true;
  /** A socket is done with a buffer when it calls back; other transports may keep a reference. */
  readonly #pools: boolean;

  constructor(transport: Duplex) {
    this.#transport = transport;
    this.#pools = transport instanceof Socket;
  }

  /** False: wait for the transport's 'drain'. */
  get hasRoom(): boolean {
    return this.#roomy || this.#transport.writableLength < HIGH_WATER_BYTES;
  }

  /** Something was written since the transport last had room. */
  onTransportDrain(): void {
    this.#roomy = true;
  }

  /** Heads and other latin-1 text; leaves with what follows, at the latest at the end of the turn. */
  writeText(text: string): void {
    if (!this.#open) return;
    if (this.#bytes === undefined) this.#text += text;
    else {
      this.#reserve(text.length);
      this.#fill += this.#bytes.write(text, this.#fill, "latin1");
    }
    this.#schedule();
  }

  /** Body bytes as they are. */
  writeBytes(bytes: Buffer): void {
    if (!this.#open) return;
    if (this.#pools && bytes.length >= LONG_BYTES) {
      this.#writeLong(bytes);
      return;
    }
    this.#reserve(bytes.length);
    this.#append(bytes);
    this.#settle(bytes.length);
  }

  /** Body bytes as one chunk. */
  writeChunk(bytes: Buffer): void {
    if (!this.#open || bytes.length === 0) return;
    if (this.#pools && bytes.length >= LONG_BYTES) {
      this.writeText(chunkHeader(bytes.length));
      this.#writeLong(bytes);
      this.writeText("\r\n");
      return;
    }
    this.#reserve(bytes.length + CHUNK_OVERHEAD);
    const target = this.#bytes as Buffer;
    this.#fill += target.write(chunkHeader(bytes.length), this.#fill, "latin1");
    this.#append(bytes);
    this.#fill += target.write("\r\n", this.#fill, "latin1");
    this.#settle(bytes.length);
  }

  /** Bulk by way of pooled blocks, which come back once the kernel has them: a fresh 64 KiB each costs page faults. */
  #writeLong(bytes: Buffer): void {
    const transport = this.#transport;
    if (transport.destroyed || transport.writableEnded) return;
    transport.cork();
    this.flush();
    for (let at = 0; at < bytes.length; at += POOLED_PAYLOAD_BYTES) {
      const block = takeBlock();
      const copied = bytes.copy(block, 0, at, at + POOLED_PAYLOAD_BYTES);
      this.#roomy = transport.write(block.subarray(0, copied), (error) => {
        if (!error) recycleFrame(block);
      });
    }
    transport.uncork();
  }

  /** Gives everything to the transport now. */
  flush(): void {
    if (this.#text === "" && this.#fill === 0) return;
    const text = this.#text;
    const bytes = this.#bytes;
    const fill = this.#fill;
    this.#text = "";
    this.#bytes = undefined;
    this.#fill = 0;
    if (!this.#open || this.#transport.destroyed || this.#transport.writableEnded) return;
    this.#roomy =
      bytes === undefined ? this.#transport.write(text, "latin1") : this.#transport.write(bytes.subarray(0, fill));
  }

  onEndOfTurn(): void {
    this.#due = false;
    this.flush();
  }

  /** Sends what waits, then FIN. */
  end(): void {
    this.flush();
    this.#open = false;
    if (!this.#transport.destroyed && !this.#transport.writableEnded) this.#transport.end();
  }

  /** Forgets what waits; nothing is sent any more. */
  close(): void {
    this.#open = false;
    this.#text = "";
    this.#bytes = undefined;
    this.#fill = 0;
  }

  /** Makes room for `bytes` more, with the waiting text in front. */
  #reserve(bytes: number): void {
    const held = this.#bytes;
    if (held !== undefined && held.length - this.#fill < bytes) {
      if (this.#fill + bytes > LONG_BYTES) this.flush();
      else {
        // Many small pieces in one turn: one write for all of them.
        this.#bytes = Buffer.allocUnsafe(LONG_BYTES + SPARE_BYTES);
        held.copy(this.#bytes, 0, 0, this.#fill);
      }
    }
    if (this.#bytes !== undefined) return;
    const text = this.#text;
    this.#text = "";
    this.#bytes = Buffer.allocUnsafe(text.length + bytes + SPARE_BYTES);
    this.#fill = text === "" ? 0 : this.#bytes.write(text, 0, "latin1");
  }

  #append(bytes: Buffer): void {
    bytes.copy(this.#bytes as Buffer, this.#fill);
    this.#fill += bytes.length;
  }

  #settle(bytes: number): void {
    if (bytes >= LONG_BYTES) this.flush();
    else this.#schedule();
  }

  #schedule(): void {
    if (this.#due) return;
    this.#due = true;
    atEndOfTurn(this);
  }
}
