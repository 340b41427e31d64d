import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A pod as the control plane is to know it by its token. */
export interface TokenHolder {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
}

/** What a kubelet asks for on behalf of a pod that projects a service account token. */
export interface PodTokens {
  /** @returns the path of the file that holds the pod's token; the same token when asked again */
  issueToPod(pod: TokenHolder): string;
  /** Takes effect at once for new connections; the file goes too. Idempotent. */
  revokeFromPod(uid: string): void;
}

/** As the control plane reads it: a service account's token, and the one pod it is bound to. */
interface WorkloadEntry {
  readonly sha256: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
}

/**
 * Secrets with which a program proves to the control plane who it is: one a node for its ztunnel, one a pod for what runs
 * under its service account. The files are readable by their owner only; the control plane sees only hashes.
 *
 * Differs from a kubelet: a pod's token has no expiry and is not rotated; it ends with the pod.
 */
export class JoinTokens implements PodTokens {
  readonly #folder: string;
  readonly #nodes = new Map<string, string>();
  readonly #workloads = new Map<string, WorkloadEntry>();

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(this.#podFolder, { recursive: true, mode: 0o700 });
    this.#writeHashes();
  }

  /**
   * Followed by the control plane:
   * `{"nodes": {"node1": "<sha256, hex>"}, "workloads": [{"sha256", "namespace", "serviceAccount", "pod"}]}`
   */
  get hashesFile(): string {
    return join(this.#folder, "join-tokens.json");
  }

  /** @returns the path of the file that holds the node's token */
  issue(node: string): string {
    const file = join(this.#folder, `${node}.token`);
    this.#nodes.set(node, writeToken(file));
    this.#writeHashes();
    return file;
  }

  revoke(node: string): void {
    this.#nodes.delete(node);
    this.#writeHashes();
  }

  issueToPod({ uid, namespace, name, serviceAccount }: TokenHolder): string {
    const file = this.#podFile(uid);
    if (this.#workloads.has(uid)) return file;
    this.#workloads.set(uid, { sha256: writeToken(file), namespace, serviceAccount, pod: name });
    this.#writeHashes();
    return file;
  }

  revokeFromPod(uid: string): void {
    if (!this.#workloads.delete(uid)) return;
    this.#writeHashes();
    rmSync(this.#podFile(uid), { force: true });
  }

  get #podFolder(): string {
    return join(this.#folder, "pods");
  }

  #podFile(uid: string): string {
    return join(this.#podFolder, `${uid}.token`);
  }

  #writeHashes(): void {
    const temporary = `${this.hashesFile}.tmp`;
    const value = { nodes: Object.fromEntries(this.#nodes), workloads: [...this.#workloads.values()] };
    writeFileSync(temporary, `${JSON.stringify(value)}\n`, { mode: 0o600 });
    renameSync(temporary, this.hashesFile);
  }
}

/** @returns the token's sha256 in hex */
function writeToken(file: string): string {
  const token = randomBytes(32).toString("base64url");
  writeFileSync(file, token, { mode: 0o600 });
  return createHash("sha256").update(token).digest("hex");
}
