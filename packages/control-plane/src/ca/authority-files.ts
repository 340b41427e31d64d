/** The CA's files: reading, first creation, and the steps of a root rotation. Names as in Istio's `cacerts` secret. */
import { constants } from "node:fs";
import { access, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { createRoot } from "@ambit/shared/x509";

export const AuthorityFile = {
  /** The signing CA: our own root, or a given intermediate. */
  CERT: "ca-cert.pem",
  KEY: "ca-key.pem",
  /** Intermediates from the signing CA upwards; only with a given intermediate. */
  CHAIN: "cert-chain.pem",
  /** Given with an intermediate; otherwise written by us: every root clients should trust. */
  ROOT: "root-cert.pem",
  /** The root that will sign next: trusted already, not signing yet. */
  NEXT_CERT: "next-ca-cert.pem",
  NEXT_KEY: "next-ca-key.pem",
  /** Roots that signed before: still trusted. */
  PREVIOUS: "previous-root.pem",
} as const;
type FileName = (typeof AuthorityFile)[keyof typeof AuthorityFile];

/** Texts of the files there are. */
export type AuthorityTexts = Readonly<Partial<Record<FileName, string>>>;

const ROOT_TTL_MS = 10 * 365 * 24 * 3_600_000;
const BACKDATE_MS = 120_000;

export async function readAuthorityFiles(dir: string): Promise<AuthorityTexts> {
  const names = Object.values(AuthorityFile);
  const entries = await Promise.all(names.map(async (name) => [name, await readIfThere(join(dir, name))] as const));
  return Object.fromEntries(entries.filter(([, text]) => text !== undefined));
}

/** Changes whenever one of the files did; cheap enough to ask every second. */
export async function authorityStamp(dir: string): Promise<string> {
  const names = Object.values(AuthorityFile).filter((name) => name !== AuthorityFile.ROOT);
  const stamps = names.map(async (name) => {
    const facts = await stat(join(dir, name)).catch(() => undefined);
    return facts === undefined ? "-" : `${facts.ino}:${facts.mtimeMs}:${facts.size}`;
  });
  return (await Promise.all(stamps)).join(" ");
}

/**
 * Makes `dir` ready for signing: creates a root on first start, and finishes what a crash interrupted.
 *
 * @throws MeshError CONFIG_INVALID when a certificate is there without its key
 */
export async function prepareAuthority(dir: string, organization: string, nowMs: number): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if (await exists(join(dir, AuthorityFile.CERT))) {
    if (await exists(join(dir, AuthorityFile.KEY))) return;
    throw new MeshError(
      ErrorCode.CONFIG_INVALID,
      `${AuthorityFile.KEY} is missing beside ${AuthorityFile.CERT} in ${dir}`,
    );
  }
  // The key first: a key without certificate (a crash between the two) has signed nothing and is replaced.
  const root = await newRoot(organization, nowMs);
  await writeAtomically(join(dir, AuthorityFile.KEY), root.keyPem, 0o600);
  await writeAtomically(join(dir, AuthorityFile.CERT), root.certPem, 0o644);
}

/**
 * Rotation, step 1 of 3: a new root that everybody starts to trust. Wait one leaf lifetime before step 2, so that every
 * workload has renewed and learnt it.
 */
export async function stageNextRoot(dir: string, organization: string, nowMs: number): Promise<void> {
  const root = await newRoot(organization, nowMs);
  await writeAtomically(join(dir, AuthorityFile.NEXT_KEY), root.keyPem, 0o600);
  await writeAtomically(join(dir, AuthorityFile.NEXT_CERT), root.certPem, 0o644);
}

/** Step 2: the staged root signs, the old one stays trusted. Wait one leaf lifetime before step 3. */
export async function promoteNextRoot(dir: string): Promise<void> {
  const texts = await readAuthorityFiles(dir);
  const cert = texts[AuthorityFile.CERT];
  if (
    cert === undefined ||
    texts[AuthorityFile.NEXT_CERT] === undefined ||
    texts[AuthorityFile.NEXT_KEY] === undefined
  ) {
    throw new MeshError(ErrorCode.CONFIG_INVALID, `no staged root in ${dir}: stage one first`);
  }
  await writeAtomically(join(dir, AuthorityFile.PREVIOUS), (texts[AuthorityFile.PREVIOUS] ?? "") + cert, 0o644);
  await rename(join(dir, AuthorityFile.NEXT_KEY), join(dir, AuthorityFile.KEY));
  await rename(join(dir, AuthorityFile.NEXT_CERT), join(dir, AuthorityFile.CERT));
}

/** Step 3: roots that signed before are no longer trusted. */
export async function retirePreviousRoots(dir: string): Promise<void> {
  await rm(join(dir, AuthorityFile.PREVIOUS), { force: true });
}

/** A crash within step 2 leaves the new key beside the old certificate: this finishes it. */
export async function finishPromotion(dir: string): Promise<void> {
  await rename(join(dir, AuthorityFile.NEXT_CERT), join(dir, AuthorityFile.CERT));
}

/** Readers see the old text or the new one, never a part; also after a power cut. */
export async function writeAtomically(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  const file = await open(temporary, "w", mode);
  try {
    await file.chmod(mode);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

function newRoot(organization: string, nowMs: number): Promise<{ certPem: string; keyPem: string }> {
  return createRoot({ organization, notBefore: nowMs - BACKDATE_MS, notAfter: nowMs + ROOT_TTL_MS });
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new MeshError(ErrorCode.CONFIG_INVALID, `cannot read ${path}: ${error.code}`, { cause: error });
  });
}

async function exists(path: string): Promise<boolean> {
  return access(path, constants.F_OK).then(
    () => true,
    () => false,
  );
}
