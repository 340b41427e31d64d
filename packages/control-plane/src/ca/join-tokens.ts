import { createHash, timingSafeEqual } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { ErrorCode, err, MeshError, ok, type Result } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import type { Metadata } from "@grpc/grpc-js";

/** Who a caller of port 15012 is: the proxy of a node, or one pod. */
export type Caller =
  | { readonly kind: "node"; readonly node: string }
  | {
      readonly kind: "workload";
      readonly namespace: string;
      readonly serviceAccount: string;
      readonly pod: string;
    };

/** Answers who a call comes from, by its metadata; the same for xDS and for certificates. */
export type AuthenticateCaller = (metadata: Metadata) => Promise<Result<Caller>>;

export interface JoinTokensInit {
  /**
   * JSON: `{"nodes": {"NODE": "<sha256 of its token, hex>"}, "workloads": [{"sha256": "<the same>", "namespace": "...",
   * "serviceAccount": "...", "pod": "..."}]}`; either may be absent. Read again when it changes.
   */
  readonly path: string;
  readonly clock: Clock;
  /** The file changed to something unusable; the last good tokens stay in force. */
  onReloadFailed?(error: MeshError): void;
}

const RELOAD_CHECK_MS = 1_000;
const MAX_TOKEN_LENGTH = 4_096;
const MAX_FILE_BYTES = 1024 * 1024;
const SHA256_HEX = /^[0-9a-f]{64}$/i;
/** Kubernetes names: none can be mistaken for another by what stands around it in an identity. */
const NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** Whose tokens are known, by their digests. */
export type TokenDigests = readonly { readonly digest: Buffer; readonly caller: Caller }[];

/**
 * Join-token attestation: `authorization: Bearer <token>` names the node or the pod. A file that is absent or bad at start
 * authenticates nobody; one that turns bad later is reported and the last good one kept.
 */
export function createJoinTokens(init: JoinTokensInit): AuthenticateCaller {
  let digests: TokenDigests = [];
  let stamp = "";
  let checkedAtMs = Number.NEGATIVE_INFINITY;
  let refreshing: Promise<void> | undefined;

  /** Who comes while the file is read waits for it: at start nobody is known yet, and everybody comes at once. */
  function refreshed(): Promise<void> | undefined {
    const now = init.clock.monotonic();
    if (refreshing === undefined && now - checkedAtMs >= RELOAD_CHECK_MS) {
      checkedAtMs = now;
      refreshing = refresh().finally(() => {
        refreshing = undefined;
      });
    }
    return refreshing;
  }

  async function refresh(): Promise<void> {
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
    await refreshed();
    return matchToken(metadata, digests);
  };
}

/** @returns digests with their owners, or what is wrong with the file and where */
export function parseJoinTokens(text: string): Result<TokenDigests> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
  if (!isRecord(value)) return err('expected {"nodes": {...}, "workloads": [...]}');
  const { nodes = {}, workloads = [] } = value;
  if (!isRecord(nodes)) return err('nodes: expected {"NODE": "<sha256 hex>"}');
  if (!Array.isArray(workloads)) return err("workloads: expected a list");
  if (value["nodes"] === undefined && value["workloads"] === undefined) return err("expected nodes or workloads");
  const known: { digest: Buffer; caller: Caller }[] = [];
  for (const [node, digest] of Object.entries(nodes)) {
    if (!isDigest(digest)) return err(`nodes.${node}: expected 64 hex digits`);
    known.push({ digest: Buffer.from(digest, "hex"), caller: { kind: "node", node } });
  }
  for (const [index, workload] of (workloads as readonly unknown[]).entries()) {
    const read = readWorkload(workload);
    if (!read.ok) return err(`workloads[${index}]${read.error}`);
    known.push(read.value);
  }
  return ok(known);
}

const isDigest = (value: unknown): value is string => typeof value === "string" && SHA256_HEX.test(value);

function readWorkload(value: unknown): Result<TokenDigests[number]> {
  if (!isRecord(value)) return err(": expected an object");
  const { sha256, namespace, serviceAccount, pod } = value;
  if (!isDigest(sha256)) return err(".sha256: expected 64 hex digits");
  for (const [field, text] of Object.entries({ namespace, serviceAccount, pod })) {
    if (typeof text !== "string" || !NAME.test(text)) return err(`.${field}: expected a name`);
  }
  const caller = { kind: "workload", namespace, serviceAccount, pod } as Caller;
  return ok({ digest: Buffer.from(sha256, "hex"), caller });
}

function matchToken(metadata: Metadata, digests: TokenDigests): Result<Caller> {
  const values = metadata.get("authorization");
  const [header] = values;
  if (values.length !== 1 || typeof header !== "string")
    return err("expected one authorization header with a join token");
  const token = /^bearer ([^\s]+)$/i.exec(header)?.[1];
  if (token === undefined || token.length > MAX_TOKEN_LENGTH) return err("expected authorization: Bearer TOKEN");
  const digest = createHash("sha256").update(token).digest();
  // All are compared, each in constant time: neither the position nor the prefix of a match can be measured.
  let found: Caller | undefined;
  for (const known of digests) if (timingSafeEqual(known.digest, digest)) found = known.caller;
  return found === undefined ? err("the join token is not known") : ok(found);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
