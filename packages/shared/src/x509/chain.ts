import { X509Certificate } from "node:crypto";
import { err, ok, type Result } from "../errors/index.ts";
import { readCertificate } from "./certificate.ts";

/** Names one certificate the way a CRL does. */
export interface CertificateRef {
  readonly issuer: string;
  readonly serial: string;
}

export interface VerifiedChain {
  /** The certificates between the leaf and the trust anchor, without both. */
  readonly intermediates: readonly CertificateRef[];
  /** The first expiry on the path, leaf and anchor included, ms since the epoch. */
  readonly notAfter: number;
}

/** Certificates considered between leaf and root; what a peer sends beyond this is ignored. */
const MAX_INTERMEDIATES = 8;

/**
 * Finds a path from `leaf` over `intermediates` to one of `roots`, verifying every signature, CA flag and validity.
 *
 * OpenSSL has verified a chain too, but Node does not say which certificates it used, and revocation needs to know.
 */
export function verifyChain(
  leaf: Uint8Array,
  intermediates: readonly Uint8Array[],
  roots: readonly X509Certificate[],
  nowMs: number,
): Result<VerifiedChain> {
  try {
    const pool = intermediates.slice(0, MAX_INTERMEDIATES).map((der) => new X509Certificate(der));
    const first = new X509Certificate(leaf);
    if (!isCurrent(first, nowMs)) return err(`expected a certificate valid now, got one ${validityOf(first)}`);
    const path = findPath(first, new Set(pool.filter((one) => one.ca && isCurrent(one, nowMs))), roots, nowMs);
    return path === undefined ? err("no chain of valid certificates leads to an own root") : describePath(path);
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

/** Depth first. A certificate leaves `pool` when first tried, so the work is bounded by its size squared. */
function findPath(
  tip: X509Certificate,
  pool: Set<X509Certificate>,
  roots: readonly X509Certificate[],
  nowMs: number,
): readonly X509Certificate[] | undefined {
  const root = roots.find((candidate) => isCurrent(candidate, nowMs) && isIssuedBy(tip, candidate));
  if (root !== undefined) return [tip, root];
  for (const candidate of pool) {
    if (!isIssuedBy(tip, candidate)) continue;
    pool.delete(candidate);
    const rest = findPath(candidate, pool, roots, nowMs);
    if (rest !== undefined) return [tip, ...rest];
  }
  return undefined;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function isCurrent(certificate: X509Certificate, nowMs: number): boolean {
  return certificate.validFromDate.getTime() <= nowMs && nowMs < certificate.validToDate.getTime();
}

function validityOf(certificate: X509Certificate): string {
  return `valid from ${certificate.validFromDate.toISOString()} to ${certificate.validToDate.toISOString()}`;
}

function describePath(path: readonly X509Certificate[]): Result<VerifiedChain> {
  const intermediates: CertificateRef[] = [];
  for (const certificate of path.slice(1, -1)) {
    const facts = readCertificate(certificate.raw);
    if (!facts.ok) return facts;
    intermediates.push({ issuer: facts.value.issuer, serial: facts.value.serial });
  }
  return ok({ intermediates, notAfter: Math.min(...path.map((certificate) => certificate.validToDate.getTime())) });
}

/** The certificates of a bundle; what does not parse is skipped, as ztunnel does. */
export function readRoots(ders: readonly Uint8Array[]): readonly X509Certificate[] {
  return ders.flatMap((der) => {
    try {
      return [new X509Certificate(der)];
    } catch {
      return [];
    }
  });
}
