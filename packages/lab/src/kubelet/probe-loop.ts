import type { Clock } from "@ambit/shared/time";
import type { Probe } from "../cluster/container.ts";
import { applyResult, type ProbeState, UNPROBED } from "./probe-state.ts";

/** While nothing is known yet, the probe is tried this often, for one period: a lab should be ready as soon as it can be. */
const EAGER_PERIOD_MS = 50;

/** Runs one probe until it is stopped. Differs from a kubelet: eager at first, and such early failures do not count. */
export class ProbeLoop {
  readonly #probe: Probe;
  readonly #check: () => Promise<boolean>;
  readonly #clock: Clock;
  readonly #onVerdict: (healthy: boolean) => void;
  #state: ProbeState = UNPROBED;
  #eagerTries: number;
  #cancel: () => void = () => {};
  #stopped = false;

  /** @param check  never throws, and keeps to the probe's timeout by itself */
  constructor(probe: Probe, check: () => Promise<boolean>, clock: Clock, onVerdict: (healthy: boolean) => void) {
    this.#probe = probe;
    this.#check = check;
    this.#clock = clock;
    this.#onVerdict = onVerdict;
    this.#eagerTries = Math.ceil(probe.periodMs / EAGER_PERIOD_MS);
  }

  start(): void {
    this.#schedule(Math.max(1, this.#probe.initialDelayMs));
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #schedule(delayMs: number): void {
    this.#cancel = this.#clock.after(delayMs, () => void this.#run());
  }

  async #run(): Promise<void> {
    const succeeded = await this.#check();
    if (this.#stopped) return;
    const before = this.#state.healthy;
    if (!succeeded && before === undefined && this.#eagerTries > 0) {
      this.#eagerTries--;
      return this.#schedule(EAGER_PERIOD_MS);
    }
    this.#state = applyResult(this.#state, succeeded, this.#probe);
    this.#schedule(this.#probe.periodMs);
    if (this.#state.healthy !== undefined && this.#state.healthy !== before) this.#onVerdict(this.#state.healthy);
  }
}
