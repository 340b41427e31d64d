/**
 * Exports spans and log records in batches. Handing them over never waits: the queue is bounded, what finds no room is dropped and counted;
 * one batch is under way at a time, and waits with back-off while the collector is away.
 *
 * Spec: OpenTelemetry batch span processor (512 spans, 5 s, queue of 2 048, drop newest).
 */
import { backoffDelayMs, type Clock, type Random, systemClock, systemRandom } from "@ambit/shared/time";
import type { Resource } from "./otlp-encode.ts";
import type { OtlpTransport } from "./otlp-transport.ts";
import type { Span } from "./spans.ts";

export interface BatchExporterInit<T> {
  readonly transport: OtlpTransport<T>;
  readonly resource: Resource;
  readonly onExported?: (items: number) => void;
  /** Items lost, and why: `queue full`, or what the collector said. */
  readonly onDropped?: (items: number, reason: string) => void;
  /** Bytes of an item, where items differ much; default 0. */
  readonly sizeOf?: (item: T) => number;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly limits?: Partial<ExportLimits>;
}

export type SpanExporterInit = BatchExporterInit<Span>;

export interface ExportLimits {
  readonly batchSpans: number;
  readonly queueSpans: number;
  readonly queueBytes: number;
  /** Longest wait of an item for its batch to fill. */
  readonly delayMs: number;
  /** Tries of one batch. */
  readonly attempts: number;
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
}

export const DEFAULT_EXPORT_LIMITS: ExportLimits = {
  batchSpans: 512,
  queueSpans: 2_048,
  queueBytes: 4 * 1024 * 1024,
  delayMs: 5_000,
  attempts: 5,
  backoffBaseMs: 1_000,
  backoffCapMs: 30_000,
};

export interface BatchExporter<T> {
  export(items: readonly T[]): void;
  /** Sends what is queued, for at most so long; the rest is dropped and counted. Nothing is taken afterwards. */
  stop(timeoutMs: number): Promise<void>;
}

export type SpanExporter = BatchExporter<Span>;

export const createSpanExporter = (init: SpanExporterInit): SpanExporter => new Batching(init);
export const createBatchExporter = <T>(init: BatchExporterInit<T>): BatchExporter<T> => new Batching(init);

class Batching<T> implements BatchExporter<T> {
  readonly #init: BatchExporterInit<T>;
  readonly #limits: ExportLimits;
  readonly #clock: Clock;
  readonly #queue: T[] = [];
  #queuedBytes = 0;
  #cancelTimer: (() => void) | undefined;
  #sending: Promise<void> | undefined;
  #stopping = false;
  #stopped = false;
  /** Ends the wait between two tries. */
  #hurry: () => void = () => {};

  constructor(init: BatchExporterInit<T>) {
    this.#init = init;
    this.#limits = { ...DEFAULT_EXPORT_LIMITS, ...init.limits };
    this.#clock = init.clock ?? systemClock;
  }

  export(items: readonly T[]): void {
    let taken = 0;
    for (const item of items) taken += this.#take(item) ? 1 : 0;
    if (taken < items.length) this.#drop(items.length - taken, this.#stopping ? "stopped" : "queue full");
    if (this.#queue.length >= this.#limits.batchSpans) this.#sendSoon();
    else if (this.#queue.length > 0)
      this.#cancelTimer ??= this.#clock.after(this.#limits.delayMs, () => this.#sendSoon());
  }

  #take(item: T): boolean {
    const bytes = this.#sizeOf(item);
    const hasRoom =
      this.#queue.length < this.#limits.queueSpans && this.#queuedBytes + bytes <= this.#limits.queueBytes;
    if (this.#stopping || !hasRoom) return false;
    this.#queue.push(item);
    this.#queuedBytes += bytes;
    return true;
  }

  #sizeOf(item: T): number {
    return this.#init.sizeOf?.(item) ?? 0;
  }

  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    this.#hurry();
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(timeoutMs, resolve);
    await Promise.race([this.#sendSoon(), promise]);
    cancel();
    this.#stopped = true;
    this.#hurry();
    if (this.#queue.length > 0) this.#drop(this.#queue.splice(0).length, "stopped");
  }

  #sendSoon(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
      if (this.#queue.length > 0) this.export([]);
    });
    return this.#sending;
  }

  /** Full batches, and one that is not full if it waited long enough to start this. */
  async #sendAll(): Promise<void> {
    do {
      const batch = this.#queue.splice(0, this.#limits.batchSpans);
      for (const item of batch) this.#queuedBytes -= this.#sizeOf(item);
      if (batch.length > 0) await this.#sendBatch(batch);
    } while (
      this.#queue.length >= this.#limits.batchSpans ||
      (this.#stopping && !this.#stopped && this.#queue.length > 0)
    );
  }

  async #sendBatch(batch: readonly T[]): Promise<void> {
    let reason = "";
    for (let attempt = 0; attempt < this.#limits.attempts && !this.#stopped; attempt++) {
      const outcome = await this.#init.transport.send(batch, this.#init.resource);
      if (outcome.kind === "accepted") {
        this.#init.onExported?.(batch.length - Math.min(outcome.rejected, batch.length));
        if (outcome.rejected > 0) this.#drop(Math.min(outcome.rejected, batch.length), "rejected by the collector");
        return;
      }
      reason = outcome.reason;
      // The last words of a process that stops are said once, not five times.
      if (outcome.kind === "refused" || this.#stopping) break;
      if (attempt + 1 < this.#limits.attempts) await this.#wait(attempt, outcome.afterMs);
    }
    this.#drop(batch.length, reason || "stopped");
  }

  async #wait(attempt: number, afterMs: number | undefined): Promise<void> {
    const { backoffBaseMs: baseMs, backoffCapMs: capMs } = this.#limits;
    const backoff = backoffDelayMs({ baseMs, capMs, jitter: 0.5 }, attempt, this.#init.random ?? systemRandom);
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(Math.max(backoff, afterMs ?? 0), resolve);
    this.#hurry = resolve;
    await promise;
    cancel();
    this.#hurry = () => {};
  }

  #drop(items: number, reason: string): void {
    this.#init.onDropped?.(items, reason);
  }
}
