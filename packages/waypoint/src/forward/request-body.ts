/**
 * Stage "forward": the body of a request on its way to whichever attempt is current.
 *
 * While an attempt may still be repeated, the first bytes are kept and written again to the next one. What comes while
 * no attempt is ready waits: kept bytes are acknowledged up to the replay limit, the rest stays in the sender's window.
 */
import type { HeaderList } from "@ambit/shared/http2";
import type { ExchangeIo } from "../http/message.ts";

export interface RequestBodyInit {
  /** Gives credit back to the client. */
  consume(bytes: number): void;
  /** So many bytes are kept for another attempt; 0 = none. */
  readonly replayLimitBytes: number;
  /** Every byte once, as it comes: counting, mirrors. */
  onBytes(chunk: Buffer): void;
  onComplete(): void;
}

export class RequestBody {
  readonly #init: RequestBodyInit;
  /** Everything so far; undefined once too much, or no longer needed. */
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  /** Bytes in `#kept` whose credit was not given back. */
  #owed = 0;
  #target: ExchangeIo | undefined;
  #ended = false;
  #trailers: HeaderList = [];
  #discarding = false;

  constructor(init: RequestBodyInit) {
    this.#init = init;
  }

  /** Whether a new attempt could send the whole body. */
  get isReplayable(): boolean {
    return this.#kept !== undefined;
  }

  get isComplete(): boolean {
    return this.#ended;
  }

  /** Makes `target` the current attempt: everything kept is written to it, and what comes follows. */
  attach(target: ExchangeIo): void {
    this.#target = target;
    for (const chunk of this.#kept ?? []) target.write(chunk);
    this.#settle();
    this.#forgetIfTooMuch();
    if (this.#ended) target.end(this.#trailers);
  }

  /** The current attempt is over; another may follow. */
  detach(): void {
    this.#target = undefined;
  }

  /** No attempt will follow: nothing needs to be kept. */
  commit(): void {
    if (this.#target) this.#kept = undefined;
  }

  /** Nobody wants the rest: it is taken and dropped. */
  discard(): void {
    this.#discarding = true;
    this.#target = undefined;
    this.#settle();
    this.#kept = undefined;
  }

  /** The attempt's transport has room again. */
  onTargetDrain(): void {
    this.#settle();
  }

  onData(chunk: Buffer): void {
    this.#init.onBytes(chunk);
    if (this.#discarding) {
      this.#init.consume(chunk.length);
      return;
    }
    this.#keep(chunk);
    if (!this.#target) {
      // Nobody takes it yet: beyond the limit the sender waits.
      if (this.#keptBytes <= this.#init.replayLimitBytes) this.#init.consume(chunk.length);
      else this.#owed += chunk.length;
      return;
    }
    if (this.#target.write(chunk)) this.#init.consume(chunk.length);
    else this.#owed += chunk.length;
  }

  onEnd(trailers: HeaderList): void {
    this.#ended = true;
    this.#trailers = trailers;
    this.#init.onComplete();
    this.#target?.end(trailers);
  }

  #keep(chunk: Buffer): void {
    if (!this.#kept) return;
    this.#kept.push(Buffer.from(chunk));
    this.#keptBytes += chunk.length;
    this.#forgetIfTooMuch();
  }

  /** Only once an attempt has it all: before, nothing else holds these bytes. */
  #forgetIfTooMuch(): void {
    if (this.#target && this.#keptBytes > this.#init.replayLimitBytes) this.#kept = undefined;
  }

  #settle(): void {
    const bytes = this.#owed;
    if (bytes === 0) return;
    this.#owed = 0;
    this.#init.consume(bytes);
  }
}
