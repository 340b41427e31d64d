/**
 * The key sets that tokens are verified with. Whatever happens to a fetch, there is never another key than the issuer's:
 * without a set, no token is good. Parity: Istio, ISTIO-SECURITY-2026-001 (a known fallback key)
 */
import { err, MeshError, ok, type Result } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import { KeySet, parseKeySet } from "./key-set.ts";
import type { JwtProvider } from "./model.ts";
import { RecentEntries } from "./recent-entries.ts";

const MAX_INLINE_SETS = 1024;
const MAX_REMOTE_SETS = 64;
/** How long a set outlives its time while fetches fail. */
const MAX_STALE_MS = 60 * 60_000;
/** Between two fetches of one set, after a failure. */
const FAILURE_COOLDOWN_MS = 5_000;
/** Between two fetches of one set, for the sake of a key that it does not hold. */
const UNKNOWN_KEY_COOLDOWN_MS = 30_000;

type Keys = JwtProvider["keys"];
type RemoteKeys = Extract<Keys, { kind: "remote" }>;

/** Fetches the text of a JWKS; rejects with a MeshError. See `fetchJwks`. */
export type FetchText = (uri: string, timeoutMs: number) => Promise<string>;

/** Nothing parsed from a broken text: verifies nothing. */
const NO_KEYS = new KeySet([]);

export class JwksCache {
  readonly #inline = new RecentEntries<KeySet>(MAX_INLINE_SETS);
  readonly #remote = new RecentEntries<RemoteKeySet>(MAX_REMOTE_SETS);
  readonly #fetch: FetchText;
  readonly #clock: Clock;

  constructor(init: { readonly fetch: FetchText; readonly clock: Clock }) {
    this.#fetch = init.fetch;
    this.#clock = init.clock;
  }

  /** The set to verify with now; an error when none could be fetched. */
  get(keys: Keys): Promise<Result<KeySet>> | Result<KeySet> {
    return keys.kind === "inline" ? ok(this.#parsed(keys.jwks)) : this.#remoteSet(keys).current(keys);
  }

  /** For a token whose key is not in the set: the set fetched anew, unless that was done lately or it is inline. */
  refreshed(keys: Keys): Promise<Result<KeySet>> | Result<KeySet> {
    return keys.kind === "inline" ? ok(this.#parsed(keys.jwks)) : this.#remoteSet(keys).refreshed(keys);
  }

  #parsed(text: string): KeySet {
    let set = this.#inline.get(text);
    if (set === undefined) {
      const parsed = parseKeySet(text);
      set = parsed.ok ? parsed.value : NO_KEYS;
      this.#inline.set(text, set);
    }
    return set;
  }

  #remoteSet({ uri }: RemoteKeys): RemoteKeySet {
    let set = this.#remote.get(uri);
    if (set === undefined) {
      set = new RemoteKeySet(this.#fetch, this.#clock);
      this.#remote.set(uri, set);
    }
    return set;
  }
}

/** One remote set: fetched when first asked for and when its time is over, by one fetch at a time. */
class RemoteKeySet {
  readonly #fetch: FetchText;
  readonly #clock: Clock;
  #set: { readonly text: string; readonly keys: KeySet; readonly fetchedAt: number } | undefined;
  #failure = "";
  /** End of the last fetch, whatever came of it; monotonic. */
  #triedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | undefined;

  constructor(fetch: FetchText, clock: Clock) {
    this.#fetch = fetch;
    this.#clock = clock;
  }

  async current(source: RemoteKeys): Promise<Result<KeySet>> {
    const age = this.#age();
    if (age >= source.cacheMs && this.#cooledDown(FAILURE_COOLDOWN_MS)) await this.#refresh(source);
    return this.#usable(source);
  }

  async refreshed(source: RemoteKeys): Promise<Result<KeySet>> {
    if (this.#cooledDown(UNKNOWN_KEY_COOLDOWN_MS)) await this.#refresh(source);
    return this.#usable(source);
  }

  #age(): number {
    return this.#set === undefined ? Number.POSITIVE_INFINITY : this.#clock.monotonic() - this.#set.fetchedAt;
  }

  #cooledDown(cooldownMs: number): boolean {
    return this.#fetching !== undefined || this.#clock.monotonic() - this.#triedAt >= cooldownMs;
  }

  #usable({ cacheMs }: RemoteKeys): Result<KeySet> {
    const isUsable = this.#set !== undefined && this.#age() < cacheMs + MAX_STALE_MS;
    return isUsable && this.#set !== undefined ? ok(this.#set.keys) : err(this.#failure);
  }

  #refresh(source: RemoteKeys): Promise<void> {
    this.#fetching ??= this.#fetchOnce(source).finally(() => {
      this.#fetching = undefined;
      this.#triedAt = this.#clock.monotonic();
    });
    return this.#fetching;
  }

  async #fetchOnce({ uri, timeoutMs }: RemoteKeys): Promise<void> {
    try {
      const text = await this.#fetch(uri, timeoutMs);
      // The same text keeps its set, and so what was verified with it.
      const keys = text === this.#set?.text ? ok(this.#set.keys) : parseKeySet(text);
      if (keys.ok && keys.value.size > 0) {
        this.#set = { text, keys: keys.value, fetchedAt: this.#clock.monotonic() };
        return;
      }
      this.#failure = keys.ok ? "JWKS: expected keys, got none that can verify" : keys.error;
    } catch (error) {
      this.#failure = error instanceof MeshError ? error.message : String(error);
    }
  }
}
