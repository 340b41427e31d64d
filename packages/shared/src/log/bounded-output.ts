/** Where batches of lines go. `done` is called once, when the batch left this process or failed. */
export interface LogSink {
  write(batch: string, done: (error?: Error) => void): void;
}

export interface BoundedOutputOptions {
  readonly maxQueuedLines: number;
  readonly maxQueuedBytes: number;
}

export const DEFAULT_LOG_BOUNDS: BoundedOutputOptions = { maxQueuedLines: 10_000, maxQueuedBytes: 4 * 1024 * 1024 };
const LINES_PER_BATCH = 64;

/**
 * A queue in front of a slow reader that never blocks the caller: one batch is under way at a time, lines beyond the
 * bound are dropped and counted. A failing sink (disk full, reader gone) loses the batch, not the process.
 *
 * Differs: ztunnel blocks its callers when 10 000 lines are queued, which stalls the data plane.
 */
export class BoundedOutput {
  readonly #sink: LogSink;
  readonly #options: BoundedOutputOptions;
  #queue: string[] = [];
  #queuedBytes = 0;
  #writing = false;
  #dropped = 0;
  #failures = 0;
  #waiters: (() => void)[] = [];

  constructor(sink: LogSink, options: BoundedOutputOptions = DEFAULT_LOG_BOUNDS) {
    this.#sink = sink;
    this.#options = options;
  }

  /** Lines lost so far, to the bound or to a failed write. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Batches the sink failed to write. */
  get failures(): number {
    return this.#failures;
  }

  write(line: string): void {
    const { maxQueuedLines, maxQueuedBytes } = this.#options;
    if (this.#queue.length >= maxQueuedLines || this.#queuedBytes + line.length > maxQueuedBytes) {
      this.#dropped++;
      return;
    }
    this.#queue.push(line);
    this.#queuedBytes += line.length;
    if (!this.#writing) this.#writeNext();
  }

  /** Resolves when everything queued is written, or after `timeoutMs`. */
  flush(timeoutMs: number): Promise<void> {
    if (!this.#writing) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#waiters.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #writeNext(): void {
    const lines = this.#queue.splice(0, LINES_PER_BATCH);
    if (lines.length === 0) {
      this.#writing = false;
      for (const waiter of this.#waiters.splice(0)) waiter();
      return;
    }
    this.#writing = true;
    const batch = lines.join("");
    this.#queuedBytes -= batch.length;
    this.#sink.write(batch, (error) => {
      if (error) {
        this.#dropped += lines.length;
        this.#failures++;
      }
      // A macrotask between batches: a sink that completes at once must neither recurse nor starve the loop.
      setImmediate(() => this.#writeNext());
    });
  }
}
