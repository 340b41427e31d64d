/** When certificates are renewed and retried. Pure; times in ms, wall ones since the epoch. */
import { type BackoffInit, backoffDelayMs, type Random } from "../time/index.ts";

/** A reading of both clocks, taken together. */
export interface Now {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** A certificate's life as seen when it was obtained. */
export interface CertificateLife {
  /** Wall clock. */
  readonly notAfter: number;
  /** Wall clock. */
  readonly renewAtMs: number;
  /** How long it may be used from when it was obtained, whatever the wall clock says later. */
  readonly usableMs: number;
  readonly obtained: Now;
}

/** Half the lifetime, plus or minus a tenth of that, so that a node's certificates do not all renew at once. */
const RENEW_AT = 0.5;
const RENEW_JITTER = 0.1;

/** Attempts for one identity are at least this far apart, however many connections demand it. */
export const MIN_ATTEMPT_SPACING_MS = 1_000;

/** Clocks may jump: due times are looked at again at least this often. */
export const MAX_SLEEP_MS = 30_000;

const RETRY: BackoffInit = { baseMs: 1_000, capMs: 150_000, jitter: 0.2 };

/**
 * Renewal is counted from now over what is left: a CA that backdates a short certificate, or whose clock differs from
 * ours, must make it neither due at once nor due too late.
 *
 * Parity: ztunnel src/identity/manager.rs
 * Differs: ztunnel counts from notBefore, and without jitter
 */
export function planLife(notBefore: number, notAfter: number, obtained: Now, random: Random): CertificateLife {
  const share = RENEW_AT * (1 - RENEW_JITTER + 2 * RENEW_JITTER * random());
  const usableMs = Math.min(notAfter - notBefore, notAfter - obtained.wallMs);
  return { notAfter, renewAtMs: obtained.wallMs + usableMs * share, usableMs, obtained };
}

/**
 * Ms until the certificate expires by whichever clock is further on: a wall clock set back must not keep an expired
 * certificate alive, one set forward may be right. Zero or less means expired.
 */
export function expiresInMs(life: CertificateLife, now: Now): number {
  return Math.min(life.notAfter - now.wallMs, life.usableMs - elapsedMs(life, now));
}

/** Ms until the renewal is due, by whichever clock is further on. */
export function renewsInMs(life: CertificateLife, now: Now): number {
  return Math.min(life.renewAtMs - now.wallMs, life.renewAtMs - life.obtained.wallMs - elapsedMs(life, now));
}

function elapsedMs(life: CertificateLife, now: Now): number {
  return now.monotonicMs - life.obtained.monotonicMs;
}

/**
 * Delay before the attempt after `failures` failures in a row (1 or more).
 *
 * @param expiresIn  ms the held certificate still has, or undefined without one: the retry never waits past it
 */
export function retryDelayMs(failures: number, expiresIn: number | undefined, random: Random): number {
  const delay = backoffDelayMs(RETRY, failures - 1, random);
  return expiresIn === undefined ? delay : Math.max(MIN_ATTEMPT_SPACING_MS, Math.min(delay, expiresIn));
}
