import { ErrorCode, MeshError } from "../errors/index.ts";
import type { SpiffeUri } from "../identity/index.ts";
import type { Clock, Random } from "../time/index.ts";
import type { IdentityMaterial } from "../tls/index.ts";
import { createCsr } from "../x509/index.ts";
import type { CertificateIssuer, SecretManager, SecretState } from "./api.ts";
import { type IssuedCertificate, readIssued } from "./issued-certificate.ts";
import {
  type CertificateLife,
  expiresInMs,
  MAX_SLEEP_MS,
  MIN_ATTEMPT_SPACING_MS,
  type Now,
  planLife,
  renewsInMs,
  retryDelayMs,
} from "./rotation-schedule.ts";
import { type Urgency, UrgencyQueue } from "./urgency-queue.ts";

export interface SecretManagerInit {
  readonly issuer: CertificateIssuer;
  readonly clock: Clock;
  readonly random: Random;
  /** Lifetime asked of the CA, which may give less. Istio: SECRET_TTL, 24 h. */
  readonly ttlSeconds: number;
  /** CA calls under way at a time. Default 8. */
  readonly concurrency?: number;
  /** Default 10 000; one more is refused (state unavailable, not kept). */
  readonly maxIdentities?: number;
  /** Every change of state, including a renewed certificate; called synchronously and must not throw. */
  onState(identity: SpiffeUri, state: SecretState): void;
  /** An attempt failed; the state may still be available with the old certificate. For the log. */
  onAttemptFailed?(identity: SpiffeUri, error: MeshError): void;
}

/** For metrics and status pages. */
export interface SecretManagerGauge {
  /** CA calls under way, their key generation and checks included. */
  readonly attemptsUnderWay: number;
}

interface Held {
  readonly material: IdentityMaterial;
  readonly life: CertificateLife;
}

interface Entry {
  readonly identity: SpiffeUri;
  held: Held | undefined;
  /** In a row. */
  failures: number;
  lastError: string;
  /** Monotonic ms before which no attempt starts by itself; 0 = none. */
  retryAtMs: number;
  lastAttemptMs: number;
  /** Set while waiting for `retryAtMs` with more than a renewal's urgency. */
  urgency: Urgency;
  running: boolean;
  expiryTold: boolean;
}

/**
 * Keeps one certificate per identity fresh: renewed at about half of its life, kept while renewal fails, never served
 * once expired. Demand goes before warm-up, warm-up before renewal.
 *
 * Parity: ztunnel src/identity/manager.rs
 * Differs: renewal has jitter; a demand while unavailable triggers an attempt (at most one a second); clocks may jump
 */
export function createSecretManager(init: SecretManagerInit): SecretManager & SecretManagerGauge {
  return new Manager(init);
}

class Manager implements SecretManager, SecretManagerGauge {
  readonly #init: SecretManagerInit;
  readonly #entries = new Map<SpiffeUri, Entry>();
  readonly #queue = new UrgencyQueue<Entry>();
  #running = 0;
  #cancelTimer: (() => void) | undefined;
  #stopped = false;

  constructor(init: SecretManagerInit) {
    this.#init = init;
  }

  get attemptsUnderWay(): number {
    return this.#running;
  }

  want(identity: SpiffeUri, urgency: "demand" | "warm"): void {
    if (this.#stopped) return;
    const entry = this.#entries.get(identity);
    if (entry !== undefined) {
      this.#wantKnown(entry, urgency);
      return;
    }
    if (this.#entries.size >= (this.#init.maxIdentities ?? 10_000)) {
      const message = `this node already serves ${this.#entries.size} identities`;
      this.#init.onState(identity, { kind: "unavailable", message, retryAtMs: this.#init.clock.now() + MAX_SLEEP_MS });
      return;
    }
    const created = newEntry(identity, urgency);
    this.#entries.set(identity, created);
    this.#init.onState(identity, { kind: "initializing" });
    this.#queue.add(created, urgency);
    this.#pump();
  }

  forget(identity: SpiffeUri): void {
    const entry = this.#entries.get(identity);
    this.#entries.delete(identity);
    if (entry !== undefined) this.#queue.remove(entry);
  }

  state(identity: SpiffeUri): SecretState | undefined {
    const entry = this.#entries.get(identity);
    return entry && this.#describe(entry, this.#now());
  }

  identities(): readonly SpiffeUri[] {
    return [...this.#entries.keys()];
  }

  renewAll(): void {
    for (const entry of this.#entries.values())
      if (!entry.running) this.#queue.add(entry, entry.held ? "background" : "warm");
    this.#pump();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#entries.clear();
    this.#queue.clear();
  }

  #wantKnown(entry: Entry, urgency: "demand" | "warm"): void {
    const now = this.#now();
    if (this.#queue.has(entry)) this.#queue.add(entry, urgency);
    const usable = entry.held !== undefined && expiresInMs(entry.held.life, now) > 0;
    if (usable || entry.running || this.#queue.has(entry) || urgency !== "demand") return;
    const soonestMs = entry.lastAttemptMs + MIN_ATTEMPT_SPACING_MS;
    // Every connection asks while the identity is unavailable: only the first of them moves the attempt.
    if (entry.urgency === "demand" && entry.retryAtMs <= soonestMs) return;
    entry.urgency = "demand";
    entry.retryAtMs = Math.min(entry.retryAtMs, soonestMs);
    this.#wake();
  }

  /** Looks at every identity: tells expiries, queues what is due, and sleeps until the next. */
  #wake(): void {
    if (this.#stopped) return;
    const now = this.#now();
    const due: { entry: Entry; inMs: number }[] = [];
    let sleepMs = MAX_SLEEP_MS;
    for (const entry of this.#entries.values()) {
      this.#tellExpiry(entry, now);
      if (entry.held !== undefined && !entry.expiryTold) sleepMs = Math.min(sleepMs, expiresInMs(entry.held.life, now));
      if (entry.running || this.#queue.has(entry)) continue;
      const inMs = dueInMs(entry, now);
      if (inMs <= 0) due.push({ entry, inMs });
      else sleepMs = Math.min(sleepMs, inMs);
    }
    due.sort((a, b) => a.inMs - b.inMs);
    for (const { entry } of due) this.#queue.add(entry, entry.urgency);
    this.#pump();
    this.#cancelTimer?.();
    // One millisecond late rather than early: timers round down.
    this.#cancelTimer = this.#init.clock.after(Math.ceil(sleepMs) + 1, () => this.#wake());
  }

  /** An expired certificate is said to be so at once, not when somebody next asks; and its renewal is due at once. */
  #tellExpiry(entry: Entry, now: Now): void {
    if (entry.held === undefined || entry.expiryTold || expiresInMs(entry.held.life, now) > 0) return;
    entry.expiryTold = true;
    entry.urgency = "demand";
    entry.retryAtMs = Math.min(entry.retryAtMs, entry.lastAttemptMs + MIN_ATTEMPT_SPACING_MS);
    if (entry.lastError === "") entry.lastError = "the certificate has expired and its renewal is under way";
    this.#init.onState(entry.identity, this.#describe(entry, now));
  }

  #pump(): void {
    const limit = this.#init.concurrency ?? 8;
    while (this.#running < limit) {
      const entry = this.#queue.take();
      if (entry === undefined) break;
      this.#running += 1;
      void this.#attempt(entry).finally(() => {
        this.#running -= 1;
        this.#wake();
      });
    }
  }

  async #attempt(entry: Entry): Promise<void> {
    entry.running = true;
    entry.lastAttemptMs = this.#init.clock.monotonic();
    try {
      const { csrPem, keyPem } = await createCsr(entry.identity);
      const chain = await this.#init.issuer.sign(entry.identity, csrPem, this.#init.ttlSeconds);
      const issued = readIssued(entry.identity, keyPem, chain, this.#init.clock.now());
      entry.running = false;
      this.#succeed(entry, issued);
    } catch (error) {
      entry.running = false;
      this.#failed(entry, MeshError.from(error, ErrorCode.CA_UNREACHABLE));
    }
  }

  #succeed(entry: Entry, issued: IssuedCertificate): void {
    if (!this.#isCurrent(entry)) return;
    const now = this.#now();
    const life = planLife(issued.notBefore, issued.material.notAfter, now, this.#init.random);
    entry.held = { material: issued.material, life };
    entry.failures = 0;
    entry.lastError = "";
    entry.urgency = "background";
    entry.expiryTold = false;
    // A certificate that is due for renewal as it comes (a very short lifetime) must not spin.
    entry.retryAtMs = now.monotonicMs + MIN_ATTEMPT_SPACING_MS;
    this.#init.onState(entry.identity, this.#describe(entry, now));
  }

  #failed(entry: Entry, error: MeshError): void {
    if (!this.#isCurrent(entry)) return;
    const now = this.#now();
    const expiresIn = entry.held && expiresInMs(entry.held.life, now);
    const usable = expiresIn !== undefined && expiresIn > 0;
    entry.failures += 1;
    entry.lastError = error.message;
    entry.urgency = "background";
    entry.retryAtMs = now.monotonicMs + retryDelayMs(entry.failures, usable ? expiresIn : undefined, this.#init.random);
    this.#init.onAttemptFailed?.(entry.identity, error);
    if (usable) return;
    entry.expiryTold = true;
    this.#init.onState(entry.identity, this.#describe(entry, now));
  }

  #describe(entry: Entry, now: Now): SecretState {
    const { held } = entry;
    if (held !== undefined && expiresInMs(held.life, now) > 0) {
      return { kind: "available", material: held.material, renewAtMs: held.life.renewAtMs };
    }
    if (held === undefined && entry.failures === 0) return { kind: "initializing" };
    const waitMs = Math.max(0, entry.retryAtMs - now.monotonicMs);
    return { kind: "unavailable", message: entry.lastError, retryAtMs: now.wallMs + waitMs };
  }

  /** False when it was forgotten, or forgotten and wanted anew, while the CA was answering. */
  #isCurrent(entry: Entry): boolean {
    return this.#entries.get(entry.identity) === entry;
  }

  #now(): Now {
    return { wallMs: this.#init.clock.now(), monotonicMs: this.#init.clock.monotonic() };
  }
}

function newEntry(identity: SpiffeUri, urgency: Urgency): Entry {
  return {
    identity,
    held: undefined,
    failures: 0,
    lastError: "",
    retryAtMs: 0,
    lastAttemptMs: Number.NEGATIVE_INFINITY,
    urgency,
    running: false,
    expiryTold: false,
  };
}

/** Ms until an attempt is due by itself; also not before `retryAtMs`. */
function dueInMs(entry: Entry, now: Now): number {
  const retryInMs = entry.retryAtMs - now.monotonicMs;
  if (entry.held === undefined || entry.failures > 0 || entry.urgency === "demand") return retryInMs;
  return Math.max(retryInMs, renewsInMs(entry.held.life, now));
}
