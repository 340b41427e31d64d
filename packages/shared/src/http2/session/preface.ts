import { CLIENT_PREFACE } from "../frames/frame-type.ts";

/** Takes the client's preface off the front of a connection. Spec: RFC 9113 section 3.4. */
export class PrefaceCheck {
  #left: number;

  constructor(role: "client" | "server") {
    this.#left = role === "server" ? CLIENT_PREFACE.length : 0;
  }

  /** @returns what follows the preface in this chunk; undefined when the connection does not begin with one */
  strip(chunk: Buffer): Buffer | undefined {
    if (this.#left === 0) return chunk;
    const taken = Math.min(this.#left, chunk.length);
    const start = CLIENT_PREFACE.length - this.#left;
    if (CLIENT_PREFACE.compare(chunk, 0, taken, start, start + taken) !== 0) return undefined;
    this.#left -= taken;
    return chunk.subarray(taken);
  }
}
