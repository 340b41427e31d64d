import {
  CERTIFICATE_SERVICE,
  type CertificateQuestion,
  certificateResponse,
  readCertificateRequest,
} from "@ambit/shared/ca";
import type { IstioCertificateRequest, IstioCertificateResponse } from "@ambit/shared/proto";
import { type handleUnaryCall, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import type { Authority } from "./authority.ts";
import { authorizeIdentity, callerName, type IdentityRestriction } from "./check-request.ts";
import type { AuthenticateCaller, Caller } from "./join-tokens.ts";

/** How one request ended, for the log and the counters. */
export interface CaAnswer {
  /** The node, or `namespace/pod`; absent when the caller was not authenticated. */
  readonly node?: string;
  readonly identity?: string;
  readonly status: status;
  /** Empty when issued. */
  readonly reason: string;
}

export interface CaServiceInit {
  readonly authority: Authority;
  readonly authenticate: AuthenticateCaller;
  readonly restriction: IdentityRestriction;
  onAnswer?(answer: CaAnswer): void;
}

/** A ztunnel has 8 calls under way; signing costs us about 4 ms of CPU each. */
const MAX_PENDING_PER_NODE = 16;
const MAX_PENDING = 256;

type Call = ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;

/** Pass both to `server.addService`. */
export interface CaService {
  readonly definition: typeof CERTIFICATE_SERVICE;
  readonly implementation: {
    readonly createCertificate: handleUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;
  };
}

/**
 * IstioCertificateService: authenticates the caller, lets a node have identities of its own pods only and a pod its own
 * only, checks the CSR, signs. Refusals are UNAUTHENTICATED (no known token), PERMISSION_DENIED (not its identity), INVALID_ARGUMENT (the
 * CSR) or RESOURCE_EXHAUSTED (too many at once), each with the reason.
 *
 * Parity: istio security/pkg/server/ca/server.go; Differs: refusals say why
 */
export function caService(init: CaServiceInit): CaService {
  const pending = new PendingCalls();
  async function answer(call: Call): Promise<{ chain: readonly string[] } | CaAnswer> {
    const caller = await init.authenticate(call.metadata);
    if (!caller.ok) return { status: status.UNAUTHENTICATED, reason: caller.error };
    const node = callerName(caller.value);
    if (!pending.enter(node)) {
      return { node, status: status.RESOURCE_EXHAUSTED, reason: "too many certificate requests under way" };
    }
    try {
      return await answerCaller(init, caller.value, readCertificateRequest(call.request));
    } finally {
      pending.leave(node);
    }
  }
  function createCertificate(call: Call, callback: sendUnaryData<IstioCertificateResponse>): void {
    answer(call).then(
      (outcome) => {
        if ("chain" in outcome) {
          callback(null, certificateResponse(outcome.chain));
          return;
        }
        report(init, outcome);
        callback({ code: outcome.status, details: outcome.reason });
      },
      (error: unknown) => {
        report(init, { status: status.INTERNAL, reason: error instanceof Error ? error.message : String(error) });
        callback({ code: status.INTERNAL, details: "the certificate could not be issued" });
      },
    );
  }
  return { definition: CERTIFICATE_SERVICE, implementation: { createCertificate } };
}

async function answerCaller(
  init: CaServiceInit,
  caller: Caller,
  question: CertificateQuestion,
): Promise<{ chain: readonly string[] } | CaAnswer> {
  const { identity } = question;
  const node = callerName(caller);
  if (identity === undefined && caller.kind === "node") {
    const reason = "expected metadata ImpersonatedIdentity: a node has no identity of its own";
    return { node, status: status.INVALID_ARGUMENT, reason };
  }
  const permit = authorizeIdentity(caller, identity, init.restriction);
  if (!permit.ok) {
    const shown = identity === undefined ? {} : { identity: identity.slice(0, 256) };
    return { node, ...shown, status: status.PERMISSION_DENIED, reason: permit.error };
  }
  const { uri } = permit.value;
  const chain = await init.authority.issueLeaf(permit.value, question.csrPem, question.ttlSeconds);
  if (!chain.ok) return { node, identity: uri, status: status.INVALID_ARGUMENT, reason: chain.error };
  report(init, { node, identity: uri, status: status.OK, reason: "" });
  return { chain: chain.value };
}

function report(init: CaServiceInit, answer: CaAnswer): void {
  init.onAnswer?.(answer);
}

/** Counts calls under way, by node and in all. */
class PendingCalls {
  readonly #byNode = new Map<string, number>();
  #all = 0;

  enter(node: string): boolean {
    const ofNode = this.#byNode.get(node) ?? 0;
    if (ofNode >= MAX_PENDING_PER_NODE || this.#all >= MAX_PENDING) return false;
    this.#byNode.set(node, ofNode + 1);
    this.#all += 1;
    return true;
  }

  leave(node: string): void {
    const left = (this.#byNode.get(node) ?? 1) - 1;
    if (left === 0) this.#byNode.delete(node);
    else this.#byNode.set(node, left);
    this.#all -= 1;
  }
}
