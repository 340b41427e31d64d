import { LEVELS, levelOf } from "./sub-units.ts";

/** Units waiting to be compiled, lowest level first: what a unit reads is settled before its turn comes. */
export class DirtyUnits {
  readonly #byLevel: readonly Set<string>[] = Array.from({ length: LEVELS }, () => new Set<string>());

  add(unit: string): void {
    this.#byLevel[levelOf(unit)]?.add(unit);
  }

  take(): string | undefined {
    for (const units of this.#byLevel) {
      for (const unit of units) {
        units.delete(unit);
        return unit;
      }
    }
    return undefined;
  }
}
