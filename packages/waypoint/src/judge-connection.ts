/** May a TCP connection pass, or go on? By the authorizers and rules of its chain. What cannot be judged is refused. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { TcpChain } from "./model/route-model.ts";
import { connectionAttributes } from "./phases/policy-attributes.ts";
import { type ExternalAuthorizers, type ExternalPermit, evaluateTcp, type PolicyAttributes } from "./policy/index.ts";
import type { TunnelContext } from "./terminate/index.ts";

/** What is carried, and what a peek at it found. */
export interface OfferedConnection {
  readonly tunnel: TunnelContext;
  readonly chain: TcpChain;
  /** Of a ClientHello, where one was seen. */
  readonly sni: string | undefined;
}

/** Why a connection may not pass, or not go on. */
export interface Refused {
  readonly code: ErrorCode;
  readonly policy: string | undefined;
  readonly message: string;
  readonly dryRun: readonly string[];
}

/** CUSTOM first, then the rules. */
export async function judgeOffered({ tunnel, chain, sni }: OfferedConnection, authorizers: ExternalAuthorizers) {
  const { custom } = chain.authorization;
  const attributes = connectionAttributes(tunnel, sni);
  try {
    const answer = custom.length === 0 ? undefined : await authorizers.check(custom, { attributes });
    if (answer?.kind === "refuse") return { verdict: { ...answer, dryRun: [] }, external: undefined };
    return { verdict: judge(chain, attributes, answer?.permit), external: answer?.permit };
  } catch (thrown) {
    return { verdict: unjudged(thrown), external: undefined };
  }
}

export function judge(chain: TcpChain, attributes: PolicyAttributes, external: ExternalPermit | undefined) {
  if (chain.unservable !== undefined) {
    return { ...REFUSAL, code: ErrorCode.CHAIN_UNSERVABLE, message: chain.unservable };
  }
  try {
    return evaluateTcp(chain.authorization, attributes, external);
  } catch (thrown) {
    return unjudged(thrown);
  }
}

export const REFUSAL = { kind: "refuse", policy: undefined, dryRun: [] } as const;

/** An expression that would cost too much, or a bug: nobody said yes. */
function unjudged(thrown: unknown) {
  const { code, message } = MeshError.from(thrown, ErrorCode.INVARIANT_VIOLATED);
  return { ...REFUSAL, code, message };
}
