import type { Clock } from "../../time/index.ts";

export interface KeepaliveInit {
  /** Silence after which a PING goes out; 0 = never. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  sendPing(): void;
  /** Nothing came back. */
  onSilent(): void;
}

/** A last look before the verdict: an answer may have waited in the kernel while this process was busy or stopped. */
const SECOND_LOOK_MS = 100;

/** Asks a silent peer whether it lives. Anything received counts as life, so that a busy session never pings. */
export class Keepalive {
  readonly #clock: Clock;
  readonly #init: KeepaliveInit;
  #lastSeen: number;
  #cancel: () => void = () => {};

  constructor(clock: Clock, init: KeepaliveInit) {
    this.#clock = clock;
    this.#init = init;
    this.#lastSeen = clock.monotonic();
    if (init.intervalMs > 0) this.#wait(init.intervalMs);
  }

  /** Something was received. */
  touch(): void {
    this.#lastSeen = this.#clock.monotonic();
  }

  stop(): void {
    this.#cancel();
  }

  #wait(delayMs: number): void {
    this.#cancel = this.#clock.after(delayMs, () => this.#check());
  }

  #check(): void {
    const silentMs = this.#clock.monotonic() - this.#lastSeen;
    if (silentMs < this.#init.intervalMs) {
      this.#wait(this.#init.intervalMs - silentMs);
      return;
    }
    const askedAt = this.#clock.monotonic();
    this.#init.sendPing();
    const judge = (last: boolean): void => {
      if (this.#lastSeen >= askedAt) this.#wait(this.#init.intervalMs);
      else if (last) this.#init.onSilent();
      else this.#cancel = this.#clock.after(SECOND_LOOK_MS, () => judge(true));
    };
    this.#cancel = this.#clock.after(this.#init.timeoutMs, () => judge(false));
  }
}
