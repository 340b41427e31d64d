/**
 * The answers a waypoint gives by itself: for a refusal, a failure, a redirect, a direct response. In: what is to be said
 * and to whom. Out: a head and a body that the pipeline writes as they are. Pure.
 */
import type { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { type FailureOutcome, failureOutcome } from "../failure-outcome.ts";
import type { RequestHead, ResponseHead } from "../http/message.ts";
import type { ResponseFlag } from "../observe/model.ts";
import { encodeGrpcMessage, grpcStatusOfHttp, isGrpcMessage } from "./grpc-status.ts";

/** A complete answer: no body follows when `body` is empty, and there are never trailers. */
export interface LocalResponse {
  readonly head: ResponseHead;
  /** What is sent: empty for HEAD, gRPC, 204 and 304, whatever `content-length` says. */
  readonly body: Buffer;
  /** Status as HTTP sees the decision, which a gRPC caller gets as 200 with `grpcStatus`. */
  readonly status: number;
  readonly grpcStatus: number | undefined;
  readonly flag: ResponseFlag | undefined;
  readonly details: string;
  /** Stable code of a failure or refusal; undefined for redirects and direct responses. */
  readonly code: ErrorCode | undefined;
  /** The connection ends after it, where the version allows saying so. */
  readonly closesDownstream: boolean;
}

/** Who asked. */
export interface Caller {
  readonly head: Pick<RequestHead, "method" | "headers">;
  /** The peer proved an identity of the mesh: it may read why. Anyone else only gets the status. */
  readonly inMesh: boolean;
}

/** What makes one refusal more exact than its code. */
export interface RefusalDetail {
  /** `namespace/name` of the policy that decided. */
  readonly policy?: string | undefined;
  /** Challenge of a 401; default `Bearer`, with the error for TOKEN_INVALID. */
  readonly challenge?: string | undefined;
  /** Instead of the table's. */
  readonly details?: string | undefined;
  /** More fields of the answer, names in lower case: an external authorizer's, CORS. */
  readonly headers?: HeaderList | undefined;
  /** Instead of the table's text: an external authorizer's own. */
  readonly body?: Buffer | undefined;
  /** Instead of the table's: an external authorizer's own. */
  readonly status?: number | undefined;
  /** Instead of the one that follows from the status: an injected fault's. */
  readonly grpcStatus?: number | undefined;
}

/** Says why to callers inside the mesh: `CODE` or `CODE namespace/policy`. */
export const REASON_HEADER = "x-ambit-reason";
const NO_BODY = Buffer.alloc(0);
const GRPC_TYPE = ["content-type", "application/grpc"] as const;
const TEXT_TYPE = ["content-type", "text/plain"] as const;

/**
 * The answer to a refusal or a failure.
 *
 * HTTP: the status with a text body. gRPC (by the request's content-type): 200, trailers-only, `grpc-status`, the text as
 * percent-encoded `grpc-message`. HEAD: the same head, without the body.
 *
 * Parity: Envoy local replies. Differs: `x-ambit-reason` names the code and the policy to callers of the mesh.
 */
export function localResponse(
  caller: Caller,
  failure: ErrorCode | MeshError,
  detail: RefusalDetail = {},
): LocalResponse {
  const code = typeof failure === "string" ? failure : failure.code;
  const outcome = failureOutcome(failure);
  const status = detail.status ?? outcome.status;
  const body = detail.body ?? Buffer.from(outcome.body);
  const extra = [...failureHeaders(code, outcome, status, detail), ...reason(caller, code, detail.policy)];
  const implied = detail.status === undefined ? outcome.grpcStatus : grpcStatusOfHttp(status);
  const grpcStatus = detail.grpcStatus ?? implied;
  return {
    ...shape(caller, { status, grpcStatus, body, extra, type: TEXT_TYPE }),
    flag: outcome.flag,
    details: detail.details ?? outcome.details,
    code,
    closesDownstream: outcome.closesDownstream,
  };
}

/** The answer of a route that only answers. A gRPC caller gets its status as gRPC. Parity: Envoy direct_response. */
export function directResponse(caller: Caller, status: number, body: Buffer, headers: HeaderList = []): LocalResponse {
  const own = headers.some(([name]) => name === "content-type");
  const type = own ? undefined : TEXT_TYPE;
  return {
    ...shape(caller, { status, grpcStatus: grpcStatusOfHttp(status), body, extra: headers, type }),
    flag: undefined,
    details: "direct_response",
    code: undefined,
    closesDownstream: false,
  };
}

/** A redirect to `location`; never with a body, and a redirect to gRPC callers as well. Parity: Envoy. */
export function redirectResponse(status: number, location: string, headers: HeaderList = []): LocalResponse {
  return {
    head: { status, headers: [["location", location], ["content-length", "0"], ...headers] },
    body: NO_BODY,
    status,
    grpcStatus: undefined,
    flag: undefined,
    details: "direct_response",
    code: undefined,
    closesDownstream: false,
  };
}

/** A CORS preflight that is answered here. Parity: Envoy's cors filter, 200 without a body. */
export function preflightResponse(headers: HeaderList): LocalResponse {
  return {
    head: { status: 200, headers: [["content-length", "0"], ...headers] },
    body: NO_BODY,
    status: 200,
    grpcStatus: undefined,
    flag: undefined,
    details: "cors_preflight",
    code: undefined,
    closesDownstream: false,
  };
}

interface Content {
  readonly status: number;
  readonly grpcStatus: number;
  readonly body: Buffer;
  readonly extra: HeaderList;
  readonly type: readonly [string, string] | undefined;
}

function shape(caller: Caller, content: Content): Pick<LocalResponse, "head" | "body" | "status" | "grpcStatus"> {
  const { status } = content;
  if (isGrpcMessage(caller.head.headers)) return grpcShape(content);
  const bodyless = status === 204 || status === 304;
  const type = content.type && content.body.length > 0 && !bodyless ? [content.type] : [];
  // 204 and 304 have no content-length of ours (RFC 9110 section 8.6); HEAD says what GET would have sent.
  const length = bodyless ? [] : ([["content-length", String(content.body.length)]] as const);
  const body = bodyless || caller.head.method === "HEAD" ? NO_BODY : content.body;
  return { head: { status, headers: [...length, ...type, ...content.extra] }, body, status, grpcStatus: undefined };
}

/** Fields that speak of a body or of gRPC itself: another's must not stand beside ours in a trailers-only answer. */
const NOT_IN_GRPC = new Set(["content-type", "content-length", "content-encoding", "grpc-status", "grpc-message"]);

function grpcShape({ status, grpcStatus, body, extra }: Content) {
  const message = body.length === 0 ? [] : ([["grpc-message", encodeGrpcMessage(body.toString("utf8"))]] as const);
  const others = extra.filter(([name]) => !NOT_IN_GRPC.has(name) && !name.startsWith("grpc-status-details"));
  const headers: HeaderList = [GRPC_TYPE, ["grpc-status", String(grpcStatus)], ...message, ...others];
  return { head: { status: 200, headers }, body: NO_BODY, status, grpcStatus };
}

function failureHeaders(code: ErrorCode, outcome: FailureOutcome, status: number, detail: RefusalDetail): HeaderList {
  const headers: (readonly [string, string])[] = [];
  if (status === 401) headers.push(["www-authenticate", detail.challenge ?? challengeOf(code)]);
  if (outcome.retryAfterSeconds !== undefined) headers.push(["retry-after", String(outcome.retryAfterSeconds)]);
  // Parity: Envoy marks what its own breakers refused, so that callers do not count it as the service's failure.
  if (outcome.flag === "UO" || outcome.flag === "OM") headers.push(["x-envoy-overloaded", "true"]);
  const own = new Set((detail.headers ?? []).map(([name]) => name));
  return [...headers.filter(([name]) => !own.has(name)), ...(detail.headers ?? [])];
}

/** Spec: RFC 6750 section 3. The token's own content is never repeated. */
const challengeOf = (code: ErrorCode): string => (code === "TOKEN_INVALID" ? 'Bearer error="invalid_token"' : "Bearer");

/** Names of policies are Kubernetes names; anything else is left out rather than escaped. */
const POLICY_NAME = /^[\w./[\]-]{1,512}$/;

function reason(caller: Caller, code: ErrorCode, policy: string | undefined): HeaderList {
  if (!caller.inMesh) return [];
  return [[REASON_HEADER, policy !== undefined && POLICY_NAME.test(policy) ? `${code} ${policy}` : code]];
}
