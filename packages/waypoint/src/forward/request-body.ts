/**
 * Stage "forward": the body of a request on its way to whichever attempt is current.
 *
 * While an attempt may still be repeated, the first bytes are kept and written again to the next one, as long as they are
 * few and all kept bytes of the process together are. What comes while no attempt is ready waits: kept bytes are
 * acknowledged up to the limit, the rest stays in the sender's window.
 *
 * Parity: Linkerd's replay limit of 64 KiB. Differs: Envoy buffers up to 1 MiB for every request with a retry policy.
 */
import type { HeaderList } from "@ambit/shared/http2";
import type { ExchangeIo } from "../http/message.ts";
import { DEFAULT_REPLAY_BYTES, type ReplayMemory } from "../retry/index.ts";

export interface RequestBodyEvents {
  /** Gives credit back to the client. */
  consume(bytes: number): void;
  /** Every byte once, as it comes: counting, mirrors. */
  onBytes(chunk: Buffer): void;
  onComplete(trailers: HeaderList): void;
}

export class RequestBody {
  readonly #events: RequestBodyEvents;
  readonly #memory: ReplayMemory;
  #limitBytes = DEFAULT_REPLAY_BYTES;
  /** Everything so far; undefined once too much, or no longer needed. */
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  /** Of `#keptBytes`, what the shared memory counts; the rest is in the sender's window. */
  #takenBytes = 0;
  /** Credit that was not given back yet. */
  #owed = 0;
  #target: ExchangeIo | undefined;
  #ended = false;
  #trailers: HeaderList = [];
  #discarding = false;
  #onChange: (() => void) | undefined;

  constructor(events: RequestBodyEvents, memory: ReplayMemory) {
    this.#events = events;
    this.#memory = memory;
  }

  /** Whether a new attempt could send the whole body. */
  get isReplayable(): boolean {
    return this.#kept !== undefined;
  }

  get isComplete(): boolean {
    return this.#ended;
  }

  get trailers(): HeaderList {
    return this.#trailers;
  }

  /** What came so far, while nothing of it was forgotten. */
  get kept(): readonly Buffer[] {
    return this.#kept ?? [];
  }

  /**
   * The first `wanted` bytes, or all when it is shorter; waits for them. Called before anything was attached, so that none
   * of them was forgotten.
   */
  firstBytes(wanted: number, signal: AbortSignal): Promise<{ readonly bytes: Buffer; readonly isComplete: boolean }> {
    this.#limitBytes = Math.max(this.#limitBytes, wanted);
    const { promise, resolve } = Promise.withResolvers<void>();
    const check = (): void => {
      if (this.#ended || this.#keptBytes >= wanted || signal.aborted) resolve();
    };
    this.#onChange = check;
    signal.addEventListener("abort", check, { once: true });
    check();
    return promise.then(() => {
      this.#onChange = undefined;
      signal.removeEventListener("abort", check);
      const all = Buffer.concat(this.kept);
      return { bytes: all.subarray(0, wanted), isComplete: this.#ended && all.length <= wanted };
    });
  }

  /** @param bytes  kept for another attempt, or for whoever must see them first; 0 = nothing */
  limitReplay(bytes: number): void {
    this.#limitBytes = bytes;
    this.#forgetIfTooMuch();
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

  /** No attempt will follow the current one: nothing needs to be kept. */
  commit(): void {
    if (this.#target) this.#forget();
  }

  /** Nobody wants the rest: it is taken and dropped. */
  discard(): void {
    this.#discarding = true;
    this.#target = undefined;
    this.#settle();
    this.#forget();
  }

  /** The answer is complete before the request is: the rest is dropped. */
  discardUnlessComplete(): void {
    if (!this.#ended) this.discard();
  }

  /** The attempt's transport has room again. */
  onTargetDrain(): void {
    this.#settle();
  }

  onData(chunk: Buffer): void {
    this.#events.onBytes(chunk);
    if (this.#discarding) {
      this.#events.consume(chunk.length);
      return;
    }
    const isTaken = this.#target ? this.#target.write(chunk) : false;
    this.#keep(chunk);
    // With no attempt to take it, what is over the limits waits in the sender's window.
    if (isTaken || (!this.#target && this.#takenBytes === this.#keptBytes)) this.#events.consume(chunk.length);
    else this.#owed += chunk.length;
    this.#onChange?.();
  }

  onEnd(trailers: HeaderList): void {
    this.#ended = true;
    this.#trailers = trailers;
    this.#onChange?.();
    this.#events.onComplete(trailers);
    this.#target?.end(trailers);
  }

  #keep(chunk: Buffer): void {
    if (!this.#kept) return;
    this.#kept.push(Buffer.from(chunk));
    this.#keptBytes += chunk.length;
    if (this.#keptBytes <= this.#limitBytes && this.#memory.tryTake(chunk.length)) this.#takenBytes += chunk.length;
    else this.#forgetIfTooMuch();
  }

  /** Only once an attempt has it all: before, nothing else holds these bytes. */
  #forgetIfTooMuch(): void {
    if (this.#target && (this.#keptBytes > this.#limitBytes || this.#takenBytes < this.#keptBytes)) this.#forget();
  }

  #forget(): void {
    this.#kept = undefined;
    this.#keptBytes = 0;
    this.#memory.giveBack(this.#takenBytes);
    this.#takenBytes = 0;
  }

  #settle(): void {
    const bytes = this.#owed;
    if (bytes === 0) return;
    this.#owed = 0;
    this.#events.consume(bytes);
  }
}
