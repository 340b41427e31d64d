import type { KeyObject } from "node:crypto";
import { join } from "node:path";
import { ErrorCode, MeshError, ok, type Result } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import {
  joinPem,
  pemToDer,
  readCsr,
  readRoots,
  readSigner,
  type Signer,
  signCertificate,
  splitPem,
  verifyChain,
} from "@ambit/shared/x509";
import {
  AuthorityFile,
  type AuthorityTexts,
  authorityStamp,
  finishPromotion,
  prepareAuthority,
  readAuthorityFiles,
  writeAtomically,
} from "./authority-files.ts";
import { checkWishes, type IdentityPermit } from "./check-request.ts";
import { decideValidity } from "./validity.ts";

export interface AuthorityInit {
  /** AMBIT_STATE_DIR. */
  readonly dir: string;
  readonly trustDomain: string;
  readonly maxTtlMs: number;
  readonly clock: Clock;
  /** New signing files could not be used; the last good ones stay. */
  onReloadFailed?(error: MeshError): void;
}

/** The mesh's certificate authority. */
export interface Authority {
  /**
   * Signs a CSR for an authorized identity.
   *
   * @returns PEM: leaf, intermediates, and last every root; or why the CSR is refused
   */
  issueLeaf(permit: IdentityPermit, csrPem: string, ttlSeconds: number): Promise<Result<readonly string[]>>;
  /** A certificate for our own server, by DNS names and IPs. @returns PEM, leaf and intermediates */
  issueServer(publicKey: KeyObject, hosts: readonly string[]): Promise<{ chainPem: string; notAfter: number }>;
  /** Every root to trust. */
  rootsPem(): string;
  /** The signing CA's certificate. */
  signerPem(): string;
  /** Calls `listener` whenever other files came into use. @returns a function that ends that */
  onChange(listener: () => void): () => void;
  /** Looks whether the files changed, and uses them if so. Done by itself before signing, at most once a second. */
  reload(): Promise<void>;
}

interface Signing {
  readonly signer: Signer;
  readonly intermediates: readonly string[];
  readonly rootsPem: string;
}

const RELOAD_CHECK_MS = 1_000;

/**
 * Opens the CA kept in `init.dir`, creating its root on first start; writes `root-cert.pem` there unless it was given.
 *
 * @throws MeshError CONFIG_INVALID when given files are unusable
 */
export async function openAuthority(init: AuthorityInit): Promise<Authority> {
  await prepareAuthority(init.dir, init.trustDomain, init.clock.now());
  const authority = new FileAuthority(init);
  await authority.load();
  return authority;
}

class FileAuthority implements Authority {
  readonly #init: AuthorityInit;
  #signing: Signing | undefined;
  #stamp = "";
  #checkedAtMs = 0;
  readonly #listeners = new Set<() => void>();

  constructor(init: AuthorityInit) {
    this.#init = init;
  }

  async issueLeaf(permit: IdentityPermit, csrPem: string, ttlSeconds: number): Promise<Result<readonly string[]>> {
    const csr = await readCsr(csrPem);
    if (!csr.ok) return csr;
    const wishes = checkWishes(csr.value, permit);
    if (!wishes.ok) return wishes;
    await this.#reloadNowAndThen();
    const { signer, intermediates, rootsPem } = this.#current();
    const validity = decideValidity(ttlSeconds, this.#init.clock.now(), { maxTtlMs: this.#init.maxTtlMs, ca: signer });
    const leaf = await signCertificate(signer, {
      publicKey: csr.value.publicKey,
      uris: [permit.uri],
      purposes: ["server", "client"],
      ...validity,
    });
    return ok([leaf, ...intermediates, rootsPem]);
  }

  async issueServer(publicKey: KeyObject, hosts: readonly string[]): Promise<{ chainPem: string; notAfter: number }> {
    const { signer, intermediates } = this.#current();
    const validity = decideValidity(0, this.#init.clock.now(), { maxTtlMs: this.#init.maxTtlMs, ca: signer });
    const leaf = await signCertificate(signer, { publicKey, hosts, purposes: ["server"], ...validity });
    return { chainPem: joinPem([leaf, ...intermediates]), notAfter: validity.notAfter };
  }

  rootsPem(): string {
    return this.#current().rootsPem;
  }

  signerPem(): string {
    return this.#current().signer.certificatePem;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async reload(): Promise<void> {
    this.#checkedAtMs = this.#init.clock.monotonic();
    const stamp = await authorityStamp(this.#init.dir);
    if (stamp === this.#stamp) return;
    try {
      await this.load();
    } catch (error) {
      // Half-copied files are normal while an operator replaces them: looked at again at the next check.
      this.#init.onReloadFailed?.(MeshError.from(error, ErrorCode.CONFIG_INVALID));
    }
  }

  async load(): Promise<void> {
    const stamp = await authorityStamp(this.#init.dir);
    const texts = await readAuthorityFiles(this.#init.dir);
    const signing = await readSigning(this.#init.dir, texts, this.#init.clock.now());
    if (signing.signer.selfSigned && signing.rootsPem !== texts[AuthorityFile.ROOT]) {
      await writeAtomically(join(this.#init.dir, AuthorityFile.ROOT), signing.rootsPem, 0o644);
    }
    this.#signing = signing;
    this.#stamp = stamp;
    for (const listener of this.#listeners) listener();
  }

  async #reloadNowAndThen(): Promise<void> {
    if (this.#init.clock.monotonic() - this.#checkedAtMs >= RELOAD_CHECK_MS) await this.reload();
  }

  #current(): Signing {
    if (this.#signing === undefined) throw new MeshError(ErrorCode.INVARIANT_VIOLATED, "the authority is not loaded");
    return this.#signing;
  }
}

async function readSigning(dir: string, texts: AuthorityTexts, nowMs: number): Promise<Signing> {
  const cert = texts[AuthorityFile.CERT] ?? "";
  const key = texts[AuthorityFile.KEY] ?? "";
  const signer = await readSigner(cert, key).catch(async (error: unknown) => {
    const next = texts[AuthorityFile.NEXT_CERT];
    if (next === undefined) throw error;
    // Interrupted between the two renames of a promotion: the key is the next root's already.
    const promoted = await readSigner(next, key);
    await finishPromotion(dir);
    return promoted;
  });
  if (signer.notAfter <= nowMs) {
    const when = new Date(signer.notAfter).toISOString();
    throw new MeshError(ErrorCode.CONFIG_INVALID, `the CA certificate in ${dir} expired at ${when}: rotate the root`);
  }
  return signer.selfSigned ? ownRoot(signer, texts) : givenIntermediate(signer, texts, dir, nowMs);
}

function ownRoot(signer: Signer, texts: AuthorityTexts): Signing {
  const extra = [AuthorityFile.NEXT_CERT, AuthorityFile.PREVIOUS].map((name) => texts[name] ?? "");
  const rootsPem = joinPem([signer.certificatePem, ...extra.flatMap((text) => splitPem(text, "CERTIFICATE"))]);
  return { signer, intermediates: [], rootsPem };
}

function givenIntermediate(signer: Signer, texts: AuthorityTexts, dir: string, nowMs: number): Signing {
  const rootPems = [AuthorityFile.ROOT, AuthorityFile.PREVIOUS].flatMap((name) =>
    splitPem(texts[name] ?? "", "CERTIFICATE"),
  );
  const rootDers = new Set(
    rootPems.flatMap((pem) => pemToDer(pem, "CERTIFICATE").map((der) => der.toString("base64"))),
  );
  const chain = [signer.certificatePem, ...splitPem(texts[AuthorityFile.CHAIN] ?? "", "CERTIFICATE")];
  const ders = chain.flatMap((pem) => pemToDer(pem, "CERTIFICATE"));
  // Istio's cert-chain.pem repeats the CA and may end in the root; leaves carry neither twice, nor the root.
  const distinct = new Set(ders.map((der) => der.toString("base64")).filter((der) => !rootDers.has(der)));
  const intermediates = chain.filter((pem) => {
    const der = pemToDer(pem, "CERTIFICATE")[0]?.toString("base64") ?? "";
    return distinct.delete(der);
  });
  const [first, ...rest] = ders;
  const roots = readRoots([...rootDers].map((der) => Buffer.from(der, "base64")));
  const verified = first && verifyChain(first, rest, roots, nowMs);
  if (!verified?.ok) {
    const why = verified?.error ?? "it holds no certificate";
    throw new MeshError(
      ErrorCode.CONFIG_INVALID,
      `${AuthorityFile.CERT} in ${dir} does not chain up to ${AuthorityFile.ROOT} over ${AuthorityFile.CHAIN}: ${why}`,
    );
  }
  return { signer, intermediates, rootsPem: joinPem(rootPems) };
}
