import { ErrorCode } from "./codes.ts";

/** Which side of this process the failure came from. */
export type ErrorOrigin = "downstream" | "upstream" | "control-plane" | "local";

/** Whether trying again may help: never, only when the session had been used before, or always (nothing was sent). */
export type RetryVerdict = "never" | "if-session-reused" | "safe";

export interface MeshErrorInit {
  readonly origin?: ErrorOrigin;
  readonly retry?: RetryVerdict;
  readonly cause?: unknown;
  /** Small plain values for the log line; never secrets. */
  readonly context?: Readonly<Record<string, string | number | boolean>>;
}

/**
 * A failure of the world (reset, timeout, bad certificate, malformed peer) with a stable code.
 * Branch on `code`, never on the message. The message says what was expected, what came, and what to do next.
 */
export class MeshError extends Error {
  readonly code: ErrorCode;
  readonly origin: ErrorOrigin;
  readonly retry: RetryVerdict;
  readonly context: Readonly<Record<string, string | number | boolean>>;

  constructor(code: ErrorCode, message: string, init: MeshErrorInit = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = "MeshError";
    this.code = code;
    this.origin = init.origin ?? "local";
    this.retry = init.retry ?? "never";
    this.context = init.context ?? {};
  }

  /** Any thrown value as a MeshError; a value that already is one passes through unchanged. */
  static from(value: unknown, code: ErrorCode, init: MeshErrorInit = {}): MeshError {
    if (value instanceof MeshError) return value;
    const message = value instanceof Error ? value.message : String(value);
    return new MeshError(code, message, { ...init, cause: value });
  }
}

/** Throws when a condition that only a bug can break does not hold. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new MeshError(ErrorCode.INVARIANT_VIOLATED, message);
}
