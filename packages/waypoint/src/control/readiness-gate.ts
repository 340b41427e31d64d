import type { Readiness, ReadinessTask } from "@ambit/shared/lifecycle";
import type { Clock } from "@ambit/shared/time";

/** How long endpoints of known clusters may hold up readiness: some are never announced. */
const ENDPOINTS_WAIT_MS = 5_000;

/**
 * Ready once there is a certificate and everything of the first configuration has come. What was there once counts for
 * good: losing the control plane later changes nothing. Parity: Istio's agent.
 *
 * Differs: a first response of which something was rejected counts; what it could use is served, the rest is refused.
 */
export class ReadinessGate {
  readonly #clock: Clock;
  readonly #certificate: ReadinessTask;
  readonly #tasks = new Map<string, ReadinessTask>();
  #cancelWait: (() => void) | undefined;

  constructor(readiness: Readiness, clock: Clock) {
    this.#clock = clock;
    this.#certificate = readiness.task("certificate");
    for (const name of ["clusters", "listeners", "addresses", "endpoints"]) {
      this.#tasks.set(name, readiness.task(name));
    }
  }

  certificateIsThere(): void {
    this.#certificate.done();
  }

  /** @param pending  what has not come yet, by the names of the tasks */
  received(pending: readonly string[]): void {
    const onlyEndpoints = pending.every((name) => name === "endpoints");
    for (const [name, task] of this.#tasks) {
      // Without clusters nobody knows which endpoints are missing.
      const isDone = !pending.includes(name) && (name !== "endpoints" || onlyEndpoints);
      if (isDone) this.#finish(name, task);
    }
    if (onlyEndpoints && this.#tasks.has("endpoints")) {
      this.#cancelWait ??= this.#clock.after(ENDPOINTS_WAIT_MS, () => this.received([]));
    }
    if (this.#tasks.size === 0) this.stop();
  }

  stop(): void {
    this.#cancelWait?.();
  }

  #finish(name: string, task: ReadinessTask): void {
    task.done();
    this.#tasks.delete(name);
  }
}
