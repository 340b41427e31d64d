/** A phase's answer instead of the next phase: what the client gets, already complete. */
import type { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { ArrivedRequest } from "../request-context.ts";
import { type Caller, type LocalResponse, localResponse, type RefusalDetail } from "../respond/index.ts";

export interface Stop {
  readonly kind: "stop";
  readonly response: LocalResponse;
  /** `namespace/name` of the policy that decided. */
  readonly policy: string | undefined;
  /** For the log: what was expected, what came. Empty when the answer is no refusal. */
  readonly message: string;
}

/** A refusal or failure as the end of the request. */
export function refuse(
  request: Pick<ArrivedRequest, "exchange" | "tunnel">,
  failure: ErrorCode | MeshError,
  detail: RefusalDetail & { readonly message?: string } = {},
): Stop {
  const message = detail.message ?? (typeof failure === "string" ? failure : failure.message);
  return { kind: "stop", response: localResponse(callerOf(request), failure, detail), policy: detail.policy, message };
}

export const stopWith = (response: LocalResponse): Stop => ({ kind: "stop", response, policy: undefined, message: "" });

/** Everybody who comes through a tunnel proved an identity of the mesh. */
export const callerOf = ({ exchange }: Pick<ArrivedRequest, "exchange" | "tunnel">): Caller => ({
  head: exchange.head,
  inMesh: true,
});

export function isStop<T extends object>(value: T | Stop): value is Stop {
  return "kind" in value && value.kind === "stop" && "response" in value;
}
