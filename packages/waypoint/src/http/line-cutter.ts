/**
 * Cuts a head or a trailer section into lines. The result depends on the bytes alone, never on how they were split
 * into chunks: lines are judged one by one in order, and each as soon as it is there. Work is linear in the bytes.
 */
import { type HttpFault, httpFault } from "./http-fault.ts";

/** Receives lines without their CRLF. */
export interface LineSink {
  /**
   * The line is `text.slice(start, end)`; it has no control characters but tabs.
   * @returns a fault ends the reading; true: this was the last line; false: more must follow
   */
  onLine(text: string, start: number, end: number): HttpFault | boolean;
  /** The lines together are longer than allowed. */
  tooLong(): HttpFault;
}

const LF = 10;
const CR = 13;
/** Something that no line may contain, or a line end that is not CRLF. */
const SUSPICIOUS = /[^\t\r\n\x20-\x7e\x80-\xff]|\r[^\n]|[^\r]\n/;
const CONTROL = /[^\t\x20-\x7e\x80-\xff]/;
const NOTHING = Buffer.alloc(0);

export class LineCutter {
  readonly #sink: LineSink;
  readonly #maxBytes: number;
  /** The last line was read. */
  done = false;
  fault: HttpFault | undefined;
  /** Of finished lines. */
  #bytes = 0;
  /** Beginning of a line that a chunk ended in; the first `#held` bytes count. */
  #line: Buffer = NOTHING;
  #held = 0;

  constructor(sink: LineSink, maxBytes: number) {
    this.#sink = sink;
    this.#maxBytes = maxBytes;
  }

  /** Some bytes came, but not all. */
  get started(): boolean {
    return this.#bytes > 0 || this.#held > 0;
  }

  reset(): void {
    this.done = false;
    this.fault = undefined;
    this.#bytes = 0;
    this.#held = 0;
    this.#line = NOTHING;
  }

  /** Reads from `at` on, up to the end of the last line. @returns where it stopped; only with `done` it may not be the end */
  read(chunk: Buffer, at: number): number {
    let next = at;
    if (this.#held > 0) next = this.#finishHeld(chunk, next);
    if (this.done || this.fault !== undefined || next >= chunk.length) return next;
    return this.#readLines(chunk, next);
  }

  #finishHeld(chunk: Buffer, at: number): number {
    const lf = chunk.indexOf(LF, at);
    const end = lf < 0 ? chunk.length : lf + 1;
    if (this.#bytes + this.#held + end - at > this.#maxBytes) {
      this.fault = this.#sink.tooLong();
      return chunk.length;
    }
    this.#hold(chunk, at, end);
    if (lf < 0) return end;
    const text = this.#line.toString("latin1", 0, this.#held);
    this.#held = 0;
    this.#cut(text);
    return end;
  }

  #readLines(chunk: Buffer, at: number): number {
    const room = this.#maxBytes - this.#bytes;
    const blank = chunk.indexOf("\r\n\r\n", at, "latin1");
    const wanted = blank >= 0 ? blank + 4 : chunk.lastIndexOf(LF) + 1;
    const end = Math.max(at, Math.min(wanted, at + room));
    const used = end > at ? this.#cut(chunk.toString("latin1", at, end)) : 0;
    if (this.done || this.fault !== undefined) return at + used;
    const rest = at + used;
    // A line that the room ended in, or the part of one that is already longer than the room.
    if (wanted > end || (blank < 0 && chunk.length - rest > room - used)) {
      this.fault = this.#sink.tooLong();
      return chunk.length;
    }
    if (blank >= 0) return this.read(chunk, rest);
    this.#hold(chunk, rest, chunk.length);
    return chunk.length;
  }

  /** @returns how much of `text` was used: up to the end of the last line in it, or of the one that ended the reading */
  #cut(text: string): number {
    const clean = !SUSPICIOUS.test(text) && text.charCodeAt(0) !== LF;
    let start = 0;
    for (;;) {
      const lf = text.indexOf("\n", start);
      if (lf < 0) break;
      const end = lf - 1;
      if (!clean && !isCleanLine(text, start, end)) {
        this.fault = httpFault(400, "a line with a control character, or not ended by CRLF");
        return lf + 1;
      }
      const verdict = this.#sink.onLine(text, start, end);
      start = lf + 1;
      if (verdict === false) continue;
      if (verdict === true) this.done = true;
      else this.fault = verdict;
      break;
    }
    this.#bytes += start;
    return start;
  }

  #hold(chunk: Buffer, from: number, to: number): void {
    const needed = this.#held + to - from;
    if (needed > this.#line.length) {
      const larger = Buffer.allocUnsafe(Math.max(256, needed, this.#line.length * 2));
      this.#line.copy(larger, 0, 0, this.#held);
      this.#line = larger;
    }
    chunk.copy(this.#line, this.#held, from, to);
    this.#held = needed;
  }
}

function isCleanLine(text: string, start: number, end: number): boolean {
  return end >= start && text.charCodeAt(end) === CR && !CONTROL.test(text.slice(start, end));
}
