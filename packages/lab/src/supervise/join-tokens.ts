import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * One secret a node, with which its ztunnel proves to the control plane which node it is. The node's file is readable by
 * its owner only; the control plane sees only hashes.
 */
export class JoinTokens {
  readonly #folder: string;
  readonly #hashes = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#writeHashes();
  }

  /** `{"nodes": {"node1": "<sha256, hex>"}}`, followed by the control plane. */
  get hashesFile(): string {
    return join(this.#folder, "join-tokens.json");
  }

  /** @returns the path of the file that holds the node's token */
  issue(node: string): string {
    const token = randomBytes(32).toString("base64url");
    const file = join(this.#folder, `${node}.token`);
    writeFileSync(file, token, { mode: 0o600 });
    this.#hashes.set(node, createHash("sha256").update(token).digest("hex"));
    this.#writeHashes();
    return file;
  }

  revoke(node: string): void {
    this.#hashes.delete(node);
    this.#writeHashes();
  }

  #writeHashes(): void {
    const temporary = `${this.hashesFile}.tmp`;
    writeFileSync(temporary, `${JSON.stringify({ nodes: Object.fromEntries(this.#hashes) })}\n`, { mode: 0o600 });
    renameSync(temporary, this.hashesFile);
  }
}
