import { createHash, timingSafeEqual } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { ErrorCode, err, MeshError, ok, type Result } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import type { Metadata } from "@grpc/grpc-js";

/** Who a caller of port 15012 is. */
export interface NodeCaller {
  readonly node: string;
}

/** Answers who a call comes from, by its metadata; the same for xDS and for certificates. */
export type AuthenticateNode = (metadata: Metadata) => Promise<Result<NodeCaller>>;

export interface JoinTokensInit {
  /** JSON: `{"nodes": {"NODE": "<sha256 of its token, hex>"}}`; read again when it changes. */
  readonly path: string;
  readonly clock: Clock;
  /** The file changed to something unusable; the last good tokens stay in force. */
  onReloadFailed?(error: MeshError): void;
}

const RELOAD_CHECK_MS = 1_000;
const MAX_TOKEN_LENGTH = 4_096;
const MAX_FILE_BYTES = 1024 * 1024;
const SHA256_HEX = /^[0-9a-f]{64}$/i;

/** Digest by node name. */
type TokenDigests = ReadonlyMap<string, Buffer>;

/**
 * Join-token attestation: `authorization: Bearer <token>` names the node. A file that is absent or bad at start
 * authenticates nobody; one that turns bad later is reported and the last good one kept.
 */
export function createJoinTokens(init: JoinTokensInit): AuthenticateNode {
  let digests: TokenDigests = new Map();
  let stamp = "";
  let checkedAtMs = Number.NEGATIVE_INFINITY;

  async function refresh(): Promise<void> {
    if (init.clock.monotonic() - checkedAtMs < RELOAD_CHECK_MS) return;
    checkedAtMs = init.clock.monotonic();
    try {
      const facts = await stat(init.path);
      const seen = `${facts.ino}:${facts.mtimeMs}:${facts.size}`;
      if (seen === stamp) return;
      if (facts.size > MAX_FILE_BYTES) throw new Error(`expected at most ${MAX_FILE_BYTES} bytes, got ${facts.size}`);
      const parsed = parseJoinTokens(await readFile(init.path, "utf8"));
      if (!parsed.ok) throw new Error(parsed.error);
      digests = parsed.value;
      stamp = seen;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const message = `cannot use the join tokens in ${init.path}: ${reason}`;
      init.onReloadFailed?.(new MeshError(ErrorCode.CONFIG_INVALID, message, { cause: error }));
    }
  }

  return async (metadata) => {
    await refresh();
    return matchToken(metadata, digests);
  };
}

/** @returns digests by node, or what is wrong with the file and where */
export function parseJoinTokens(text: string): Result<TokenDigests> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
  const nodes = isRecord(value) ? value["nodes"] : undefined;
  if (!isRecord(nodes)) return err('expected {"nodes": {"NODE": "<sha256 hex>"}}');
  const digests = new Map<string, Buffer>();
  for (const [node, digest] of Object.entries(nodes)) {
    if (typeof digest !== "string" || !SHA256_HEX.test(digest)) return err(`nodes.${node}: expected 64 hex digits`);
    digests.set(node, Buffer.from(digest, "hex"));
  }
  return ok(digests);
}

function matchToken(metadata: Metadata, digests: TokenDigests): Result<NodeCaller> {
  const values = metadata.get("authorization");
  const [header] = values;
  if (values.length !== 1 || typeof header !== "string")
    return err("expected one authorization header with a join token");
  const token = /^bearer ([^\s]+)$/i.exec(header)?.[1];
  if (token === undefined || token.length > MAX_TOKEN_LENGTH) return err("expected authorization: Bearer TOKEN");
  const digest = createHash("sha256").update(token).digest();
  // All are compared, each in constant time: neither the position nor the prefix of a match can be measured.
  let found: string | undefined;
  for (const [node, known] of digests) if (timingSafeEqual(known, digest)) found = node;
  return found === undefined ? err("the join token is not known") : ok({ node: found });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
