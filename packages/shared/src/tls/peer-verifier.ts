import type { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate } from "node:tls";
import { err, ok, type Result } from "../errors/index.ts";
import { fingerprintOf, parsePeerCertificate, pemToDer, readRoots, verifyChain } from "../x509/index.ts";
import type { PeerIdentity } from "./api.ts";
import { Recent } from "./recent.ts";

/** Distinct peers remembered per bundle of roots: about 1 KB each. Reading one anew costs about 1 ms. */
const MAX_REMEMBERED_PEERS = 4096;
/** Bundles in use at a time: one, or two while a root is being rotated. */
const MAX_VERIFIERS = 8;

interface RememberedPeer {
  readonly peer: PeerIdentity;
  /** ms since the epoch; the first expiry on its chain. */
  readonly until: number;
}

/**
 * Says who a peer is from the certificates it presented, against one bundle of roots. OpenSSL has verified the
 * handshake and its own chain before; this adds the strict identity and the names of the chain for revocation.
 */
export class PeerVerifier {
  readonly #roots: readonly X509Certificate[];
  readonly #peers = new Recent<string, RememberedPeer>(MAX_REMEMBERED_PEERS);

  constructor(rootsPem: string) {
    this.#roots = readRoots(pemToDer(rootsPem, "CERTIFICATE"));
  }

  /** @param presented DER, leaf first */
  verify(presented: readonly Uint8Array[], nowMs: number): Result<PeerIdentity> {
    const [leaf] = presented;
    if (leaf === undefined) return err("the peer presented no certificate");
    const fingerprint = fingerprintOf(leaf);
    const known = this.#peers.get(fingerprint);
    if (known !== undefined && nowMs < known.until) return ok(known.peer);
    const parsed = parsePeerCertificate(leaf);
    if (!parsed.ok) return parsed;
    const chain = verifyChain(leaf, presented.slice(1), this.#roots, nowMs);
    if (!chain.ok) return chain;
    const { intermediates, notAfter } = chain.value;
    const peer = intermediates.length === 0 ? parsed.value : { ...parsed.value, intermediates };
    this.#peers.set(fingerprint, { peer, until: notAfter });
    return ok(peer);
  }
}

const verifiers = new Recent<string, PeerVerifier>(MAX_VERIFIERS);

/** One verifier per bundle text, shared by all identities that have the same roots. */
export function peerVerifierFor(rootsPem: string): PeerVerifier {
  const known = verifiers.get(rootsPem);
  if (known !== undefined) return known;
  const verifier = new PeerVerifier(rootsPem);
  verifiers.set(rootsPem, verifier);
  return verifier;
}

/** The DER of every certificate Node linked from a peer's leaf upwards; bounded, and safe on the self-link of a root. */
export function presentedChain(leaf: DetailedPeerCertificate | undefined): readonly Buffer[] {
  const chain: Buffer[] = [];
  let current: DetailedPeerCertificate | undefined = leaf;
  while (current?.raw !== undefined && chain.length < 10) {
    chain.push(current.raw);
    current = current.issuerCertificate === current ? undefined : current.issuerCertificate;
  }
  return chain;
}
