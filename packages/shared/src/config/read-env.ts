import { ok, type Result } from "../errors/result.ts";
import { type ConfigMistake, showValue } from "./config-error.ts";
import { parseDuration } from "./duration.ts";
import { nearestName } from "./nearest-name.ts";

export type Env = Readonly<Record<string, string | undefined>>;

/** Names under our prefix that belong to the lab, the command line and the tests; a program they start may inherit them. */
const OTHER_PROGRAMS = /^AMBIT_(ROOT|APPS|LAB|LAB_MODE|TEST_TIERS)$/;

/**
 * Reads typed values out of an environment record and remembers every mistake instead of stopping at the first.
 * A blank value counts as unset. Pure: it never looks at `process.env`.
 *
 * Each reader also records the name it was asked for, which gives the list of known variables: unknown `AMBIT_*`
 * names are then mistakes, and documentation can be compared with it.
 */
export class EnvReader {
  readonly #env: Env;
  readonly #names = new Set<string>();
  readonly #mistakes: ConfigMistake[] = [];

  constructor(env: Env) {
    this.#env = env;
  }

  /** The text, or undefined when unset or blank. */
  optionalText(name: string): string | undefined {
    this.#names.add(name);
    const value = this.#env[name];
    return value === undefined || value.trim() === "" ? undefined : value;
  }

  text(name: string, fallback: string): string {
    return this.optionalText(name) ?? fallback;
  }

  /** Exactly `true` or `false`. */
  boolean(name: string, fallback: boolean): boolean {
    return this.parsed(name, fallback, (text) =>
      text === "true" || text === "false" ? ok(text === "true") : { ok: false, error: "expected true or false" },
    );
  }

  /** A decimal integer within [min, max]. */
  integer(name: string, fallback: number, range: { readonly min: number; readonly max: number }): number {
    return this.parsed(name, fallback, (text) => {
      const value = Number(text);
      const good = /^\d{1,15}$/.test(text) && value >= range.min && value <= range.max;
      return good ? ok(value) : { ok: false, error: `expected a whole number from ${range.min} to ${range.max}` };
    });
  }

  /** Milliseconds from `5s`, `1m30s`, `24h`, `100ms`. */
  durationMs(name: string, fallbackMs: number): number {
    return this.parsed(name, fallbackMs, parseDuration);
  }

  oneOf<T extends string>(name: string, choices: readonly T[], fallback: T): T {
    return this.parsed(name, fallback, (text) => {
      const choice = choices.find((each) => each === text);
      return choice ? ok(choice) : { ok: false, error: `expected one of ${choices.join(", ")}` };
    });
  }

  /** Any other form: `parse` gets the non-blank text; its error becomes the mistake's reason. */
  parsed<T>(name: string, fallback: T, parse: (text: string) => Result<T>): T {
    const text = this.optionalText(name);
    if (text === undefined) return fallback;
    const result = parse(text);
    if (result.ok) return result.value;
    this.reject(name, text, result.error);
    return fallback;
  }

  /** Every set variable whose name starts with `prefix`, with the prefix taken off; documented as `PREFIX*`. */
  prefixed(prefix: string): Readonly<Record<string, string>> {
    this.#names.add(`${prefix}*`);
    const entries = Object.entries(this.#env)
      .filter(([name, value]) => name.startsWith(prefix) && name.length > prefix.length && value !== undefined)
      .map(([name, value]) => [name.slice(prefix.length), value as string]);
    return Object.fromEntries(entries) as Record<string, string>;
  }

  /** A mistake that involves more than the form of one value. */
  reject(name: string, value: string, reason: string): void {
    this.#mistakes.push({ name, value: showValue(name, value), reason });
  }

  /** Everything asked for so far, in order of the first time. */
  names(): readonly string[] {
    return [...this.#names];
  }

  /** All mistakes, with variables under `ownPrefix` that nobody asked for; call it after the last read. */
  mistakes(ownPrefix = "AMBIT_"): readonly ConfigMistake[] {
    const unknown = Object.entries(this.#env)
      .filter(([name, value]) => name.startsWith(ownPrefix) && value !== undefined && !this.#names.has(name))
      .filter(([name]) => !OTHER_PROGRAMS.test(name))
      .map(([name, value]) => ({ name, value: showValue(name, value ?? ""), reason: this.#unknownReason(name) }));
    return [...this.#mistakes, ...unknown];
  }

  #unknownReason(name: string): string {
    const nearest = nearestName(name, this.#names);
    return nearest ? `unknown variable; did you mean ${nearest}?` : "unknown variable";
  }
}
