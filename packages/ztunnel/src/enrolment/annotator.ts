import type { ObjectKey, ObjectSource } from "@ambit/shared/kube";
import { REDIRECTION_ANNOTATION } from "@ambit/shared/kube";
import type { Logger } from "@ambit/shared/log";
import { backoffDelayMs, type Clock, type Random } from "@ambit/shared/time";
import type { AnnotationValue } from "./state/annotation-state.ts";

/** Owner of our patch on each pod. */
const OWNER = "ztunnel";
const BACKOFF = { baseMs: 100, capMs: 10_000, jitter: 0.2 };

export interface AnnotatorInit {
  readonly source: Pick<ObjectSource, "patch">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

interface Writing {
  /** The latest value asked for; earlier ones not yet written are skipped. */
  value: AnnotationValue | "drop";
  readonly done: Promise<void>;
}

/** Writes the redirection annotation: one write a pod at a time, the latest value wins, and a failed write is repeated. */
export class Annotator {
  readonly #init: AnnotatorInit;
  readonly #writing = new Map<ObjectKey, Writing>();
  #stopped = false;

  constructor(init: AnnotatorInit) {
    this.#init = init;
  }

  write(key: ObjectKey, value: AnnotationValue | "drop"): void {
    const running = this.#writing.get(key);
    if (running) running.value = value;
    else this.#begin(key, value);
  }

  /** Resolves when nothing is left to be written for the pod. */
  written(key: ObjectKey): Promise<void> {
    return this.#writing.get(key)?.done ?? Promise.resolve();
  }

  /** No more retries; resolves when running writes have ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#writing.values()].map(({ done }) => done));
  }

  #begin(key: ObjectKey, value: AnnotationValue | "drop"): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    const writing: Writing = { value, done: promise };
    this.#writing.set(key, writing);
    void this.#writeUntilDone(key, writing).finally(() => {
      this.#writing.delete(key);
      resolve();
    });
  }

  async #writeUntilDone(key: ObjectKey, writing: Writing): Promise<void> {
    for (let failures = 0; ; ) {
      const value = writing.value;
      try {
        await this.#init.source.patch(key, OWNER, patchOf(value));
        if (writing.value === value) return;
        failures = 0;
      } catch (error) {
        this.#init.log.warn("cannot write a pod's redirection annotation", { pod: key, error: error as Error });
        if (this.#stopped) return;
        await this.#pause(backoffDelayMs(BACKOFF, failures++, this.#init.random));
      }
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#init.clock.after(delayMs, resolve));
  }
}

/** Spec: RFC 7396: null takes the annotation away, also one that the object itself has. */
function patchOf(value: AnnotationValue | "drop"): Readonly<Record<string, unknown>> | undefined {
  return value === "drop" ? undefined : { metadata: { annotations: { [REDIRECTION_ANNOTATION]: value } } };
}
