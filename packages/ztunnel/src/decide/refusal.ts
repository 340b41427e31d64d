import type { ErrorCode } from "@ambit/shared/errors";

/** An answer the rules foresaw: this connection is not carried. The message names what was missing. */
export interface Refusal {
  readonly kind: "refuse";
  readonly code: ErrorCode;
  readonly message: string;
}

export const refuse = (code: ErrorCode, message: string): Refusal => ({ kind: "refuse", code, message });
