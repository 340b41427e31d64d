/**
 * Asks external authorizers (CUSTOM) whether a request or a connection may pass, by gRPC or by HTTP. The only place
 * that makes an ExternalPermit. Spec: Envoy ext_authz (envoy.service.auth.v3)
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { type Clock, systemClock } from "@ambit/shared/time";
import { type AuthorizerAnswer, type ChangeableRequest, changeHeaders, changeRequest } from "./external/answer.ts";
import type { AuthorizerQuestion, ExternalCheck } from "./external/check.ts";
import { callUnary } from "./external/grpc-call.ts";
import { decodeCheckResponse, encodeCheckRequest } from "./external/grpc-messages.ts";
import { type ClusterAgent, callHttp, clusterAgent } from "./external/http-call.ts";
import { type DialCluster, SessionPool } from "./external/session-pool.ts";
import type { CustomAuthorization, ExternalAuthorizer, ExternalPermit, PolicyAttributes } from "./model.ts";
import { PolicyFacts } from "./policy-facts.ts";
import { indexOf } from "./policy-index.ts";
import { policyOf } from "./policy-name.ts";

const CHECK_PATH = "/envoy.service.auth.v3.Authorization/Check";
const DEFAULT_MAX_PENDING = 1000;
const PERMIT = Object.freeze({}) as ExternalPermit;

export type ExternalVerdict =
  | {
      readonly kind: "permit";
      readonly permit: ExternalPermit;
      /** The request's headers from here on, without pseudo-headers. */
      readonly headers: HeaderList;
      readonly query: string;
      /** For the response to the client: each replaces or joins what the application says, as `changeHeaders` does. */
      readonly responseHeaders: HeaderList;
      /** Authorizers that could not be asked and fail open: a sentence each, for the log. */
      readonly failures: readonly string[];
    }
  | ExternalRefusal;

export interface ExternalRefusal {
  readonly kind: "refuse";
  readonly code:
    | typeof ErrorCode.EXTERNAL_AUTHORIZATION_DENIED
    | typeof ErrorCode.EXTERNAL_AUTHORIZATION_FAILED
    | typeof ErrorCode.REQUEST_LIMIT_EXCEEDED;
  /** 300..599; the authorizer's own when it denied. */
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Buffer;
  /** The policy by which the authorizer was asked, `NS/NAME`. */
  readonly policy: string;
  readonly authorizer: string;
  readonly message: string;
}

export interface ExternalAuthorizersInit {
  readonly dial: DialCluster;
  readonly clock?: Clock;
  /** Checks under way per authorizer's cluster; more are refused. Default 1000. */
  readonly maxPending?: number;
}

/** How much of the request's body the authorizers concerned want to see, bytes; 0 = none. */
export function bodyBytesWanted(custom: readonly CustomAuthorization[], attributes: PolicyAttributes): number {
  const facts = PolicyFacts.of(attributes);
  const wanted = custom.filter((one) => concernedPolicy(one, facts) !== undefined);
  return Math.max(0, ...wanted.map(({ provider }) => provider.maximumBodyBytes));
}

/** The policy that has the authorizer asked. In dry run it never is. */
function concernedPolicy({ when, dryRun }: CustomAuthorization, facts: PolicyFacts): string | undefined {
  const policy = dryRun ? undefined : indexOf(when).findMatch(facts);
  return policy && policyOf(policy.name);
}

export class ExternalAuthorizers {
  readonly #dial: DialCluster;
  readonly #clock: Clock;
  readonly #maxPending: number;
  readonly #sessions: SessionPool;
  readonly #agents = new Map<string, ClusterAgent>();
  readonly #pending = new Map<string, number>();

  constructor(init: ExternalAuthorizersInit) {
    this.#dial = init.dial;
    this.#clock = init.clock ?? systemClock;
    this.#maxPending = init.maxPending ?? DEFAULT_MAX_PENDING;
    this.#sessions = new SessionPool(init.dial, this.#clock);
  }

  /**
   * Asks those whose policies match, one after the other; each sees what the one before made of the request. The first
   * that refuses ends it.
   *
   * @throws MeshError CANCELLED when the client left, and only then
   */
  async check(custom: readonly CustomAuthorization[], check: ExternalCheck): Promise<ExternalVerdict> {
    const failures: string[] = [];
    let request: ChangeableRequest = {
      headers: (check.attributes.http?.headers ?? []).filter(([name]) => !name.startsWith(":")),
      query: check.http?.query ?? "",
    };
    let responseHeaders: HeaderList = [];
    for (const one of custom) {
      const policy = concernedPolicy(one, factsAfter(check.attributes, request));
      if (policy === undefined) continue;
      const outcome = await this.#ask(one.provider, check, request);
      if (outcome.kind === "refuse") return { ...outcome, policy, authorizer: one.provider.name };
      if (outcome.kind === "failed-open") failures.push(outcome.message);
      else {
        request = outcome.request;
        responseHeaders = [...responseHeaders, ...outcome.responseHeaders];
      }
    }
    return { kind: "permit", permit: PERMIT, ...request, responseHeaders, failures };
  }

  close(): void {
    this.#sessions.close();
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  async #ask(provider: ExternalAuthorizer, check: ExternalCheck, request: ChangeableRequest): Promise<Outcome> {
    const { cluster } = provider.transport;
    if (lacksBody(provider, check)) return tooLarge(provider);
    const pending = this.#pending.get(cluster) ?? 0;
    // Refused even where failures pass: else a flood would open the door that the authorizer guards.
    if (pending >= this.#maxPending) return failedClosed(provider, "too many checks under way");
    this.#pending.set(cluster, pending + 1);
    try {
      const answer = await this.#call(provider, check, request);
      return answer.kind === "deny" ? denied(answer, provider) : consented(answer, request);
    } catch (error) {
      if (check.signal?.aborted) throw MeshError.from(check.signal.reason, ErrorCode.CANCELLED);
      return failureOutcome(provider, error);
    } finally {
      const left = (this.#pending.get(cluster) ?? 1) - 1;
      if (left > 0) this.#pending.set(cluster, left);
      else this.#pending.delete(cluster);
    }
  }

  /** From here to the answer, dialling included, before the deadline. */
  async #call(
    provider: ExternalAuthorizer,
    check: ExternalCheck,
    request: ChangeableRequest,
  ): Promise<AuthorizerAnswer> {
    const deadline = new AbortController();
    const { timeoutMs, transport } = provider;
    const cancelTimeout = this.#clock.after(timeoutMs, () => deadline.abort(timedOut(timeoutMs)));
    const signal = check.signal === undefined ? deadline.signal : AbortSignal.any([deadline.signal, check.signal]);
    const question: AuthorizerQuestion = { check, request, signal, timeoutMs, atMs: this.#clock.now() };
    try {
      return transport.kind === "grpc"
        ? await this.#callGrpc(provider, transport, question)
        : await callHttp(this.#agentOf(transport.cluster), provider, transport, question);
    } finally {
      cancelTimeout();
    }
  }

  async #callGrpc(
    provider: ExternalAuthorizer,
    { cluster, authority }: { readonly cluster: string; readonly authority: string },
    question: AuthorizerQuestion,
  ): Promise<AuthorizerAnswer> {
    const { signal, timeoutMs } = question;
    const call = { authority, path: CHECK_PATH, message: encodeCheckRequest(provider, question), signal, timeoutMs };
    const attempt = (): Promise<Buffer> =>
      unlessAborted(
        this.#sessions.run(cluster, (session) => callUnary(session, call)),
        signal,
      );
    try {
      return decodeCheckResponse(await attempt());
    } catch (error) {
      // The peer said goodbye before it saw the call.
      if (!(error instanceof MeshError) || error.retry !== "safe" || signal.aborted) throw error;
      return decodeCheckResponse(await attempt());
    }
  }

  #agentOf(cluster: string): ClusterAgent {
    let agent = this.#agents.get(cluster);
    if (agent === undefined) {
      agent = clusterAgent(this.#dial, cluster, this.#maxPending);
      this.#agents.set(cluster, agent);
    }
    return agent;
  }
}

/** What policies see of a request that authorizers changed. */
function factsAfter(attributes: PolicyAttributes, { headers }: ChangeableRequest): PolicyFacts {
  const { http } = attributes;
  if (http === undefined) return PolicyFacts.of(attributes);
  const pseudo = http.headers.filter(([name]) => name.startsWith(":"));
  return new PolicyFacts({ ...attributes, http: { ...http, headers: [...pseudo, ...headers] } });
}

type Outcome =
  | { readonly kind: "consent"; readonly request: ChangeableRequest; readonly responseHeaders: HeaderList }
  | { readonly kind: "failed-open"; readonly message: string }
  | Omit<ExternalRefusal, "policy" | "authorizer">;

function consented(answer: Extract<AuthorizerAnswer, { kind: "allow" }>, request: ChangeableRequest): Outcome {
  return {
    kind: "consent",
    request: changeRequest(request, answer),
    responseHeaders: changeHeaders([], answer.response),
  };
}

const denied = (answer: Extract<AuthorizerAnswer, { kind: "deny" }>, { name }: ExternalAuthorizer): Outcome => ({
  kind: "refuse",
  code: ErrorCode.EXTERNAL_AUTHORIZATION_DENIED,
  status: answer.status,
  headers: changeHeaders([], answer.headers),
  body: answer.body,
  message: `${name} denied it with ${answer.status}`,
});

/** Whatever went wrong, nobody said yes. An answer that makes no sense is not a failure to ask, and never passes. */
function failureOutcome(provider: ExternalAuthorizer, error: unknown): Outcome {
  const message = error instanceof Error ? error.message : String(error);
  const isAnswer = error instanceof MeshError && error.code === ErrorCode.RESPONSE_MALFORMED;
  if (!provider.failsOpen || isAnswer) return failedClosed(provider, message);
  return { kind: "failed-open", message: `${provider.name}: ${message}` };
}

const failedClosed = ({ name, statusOnError }: ExternalAuthorizer, message: string): Outcome => ({
  kind: "refuse",
  code: ErrorCode.EXTERNAL_AUTHORIZATION_FAILED,
  status: statusOnError,
  headers: [],
  body: Buffer.alloc(0),
  message: `${name}: ${message}`,
});

const tooLarge = ({ name, maximumBodyBytes }: ExternalAuthorizer): Outcome => ({
  kind: "refuse",
  code: ErrorCode.REQUEST_LIMIT_EXCEEDED,
  status: 413,
  headers: [],
  body: Buffer.alloc(0),
  message: `${name} takes bodies of at most ${maximumBodyBytes} bytes`,
});

/** Only whole bodies are to be shown, and this one is not whole, or was not kept. */
function lacksBody({ maximumBodyBytes, allowsPartialBody }: ExternalAuthorizer, { http }: ExternalCheck): boolean {
  if (maximumBodyBytes === 0 || allowsPartialBody || http === undefined) return false;
  return http.body === undefined || !http.body.isComplete || http.body.bytes.length > maximumBodyBytes;
}

const timedOut = (timeoutMs: number): MeshError =>
  new MeshError(ErrorCode.UPSTREAM_CONNECT_TIMEOUT, `no answer within ${timeoutMs} ms`, { origin: "upstream" });

/** Waits no longer than the signal; what comes afterwards stays in its pool. */
function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
