/**
 * Counts the messages of a gRPC body by their length prefixes as the bytes pass; keeps none of them.
 *
 * Spec: grpc PROTOCOL-HTTP2, Length-Prefixed-Message (1 byte flag, 4 bytes length). Parity: Envoy grpc_stats counts a message
 * when its prefix is complete, and stops at a flag other than 0 and 1.
 */
const PREFIX_BYTES = 5;

export class GrpcMessageCounter {
  #messages = 0;
  /** Bytes of the prefix read so far, 0..4. */
  #prefix = 0;
  #length = 0;
  /** Bytes of the message still to come. */
  #rest = 0;
  #malformed = false;

  get messages(): number {
    return this.#messages;
  }

  /** Looks at the next bytes of the body, in any cuts. */
  update(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#malformed) {
      if (this.#rest > 0) {
        const skipped = Math.min(this.#rest, chunk.length - at);
        this.#rest -= skipped;
        at += skipped;
      } else {
        this.#readPrefix(chunk[at++] as number);
      }
    }
  }

  #readPrefix(byte: number): void {
    if (this.#prefix === 0) {
      this.#malformed = byte > 1;
      this.#length = 0;
    } else {
      this.#length = this.#length * 256 + byte;
    }
    if (++this.#prefix < PREFIX_BYTES) return;
    this.#prefix = 0;
    this.#rest = this.#length;
    this.#messages++;
  }
}
