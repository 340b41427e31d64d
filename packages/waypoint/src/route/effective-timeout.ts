/**
 * What a request's own fields change of its route: deadlines and retries. Pure.
 *
 * Parity: Envoy FilterUtility::finalTimeout
 * Differs: the fields are honoured only from callers that proved a mesh identity; from others they are taken out.
 */
import type { HeaderList } from "@ambit/shared/http2";
import { parseGrpcTimeout } from "./grpc-timeout.ts";
import type { ForwardAction } from "./model.ts";

/** Fields that steer the proxy. None of them is forwarded, whoever sent it. */
const CONTROL_FIELDS: ReadonlySet<string> = new Set([
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-max-retries",
  "x-envoy-retry-on",
  "x-envoy-retry-grpc-on",
  "x-envoy-retriable-status-codes",
  "x-envoy-retriable-header-names",
  "x-envoy-hedge-on-per-try-timeout",
  "x-envoy-upstream-alt-stat-name",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-expected-rq-timeout-ms",
]);

/** What the caller asked for, each undefined when it did not. */
export interface RequestedOverrides {
  readonly timeoutMs: number | undefined;
  readonly perTryTimeoutMs: number | undefined;
  readonly maximumRetries: number | undefined;
  /** Conditions as in `retry_on`, HTTP's and gRPC's together. */
  readonly retryOn: readonly string[] | undefined;
  readonly retriableStatusCodes: readonly number[];
}

export const NO_OVERRIDES: RequestedOverrides = {
  timeoutMs: undefined,
  perTryTimeoutMs: undefined,
  maximumRetries: undefined,
  retryOn: undefined,
  retriableStatusCodes: [],
};

/** Most retries a caller may ask for. */
const MAX_REQUESTED_RETRIES = 10;

/** @param isFromMesh  whether the caller proved a mesh identity */
export function readOverrides(headers: HeaderList, isFromMesh: boolean): RequestedOverrides {
  if (!isFromMesh) return NO_OVERRIDES;
  const values = new Map(headers.filter(([name]) => CONTROL_FIELDS.has(name)));
  if (values.size === 0) return NO_OVERRIDES;
  const retryOn = ["x-envoy-retry-on", "x-envoy-retry-grpc-on"].flatMap((name) => splitList(values.get(name)));
  const retries = wholeNumber(values.get("x-envoy-max-retries"));
  return {
    timeoutMs: wholeNumber(values.get("x-envoy-upstream-rq-timeout-ms")),
    perTryTimeoutMs: wholeNumber(values.get("x-envoy-upstream-rq-per-try-timeout-ms")),
    maximumRetries: retries === undefined ? undefined : Math.min(retries, MAX_REQUESTED_RETRIES),
    retryOn: retryOn.length === 0 ? undefined : retryOn,
    retriableStatusCodes: splitList(values.get("x-envoy-retriable-status-codes"))
      .map(Number)
      .filter((code) => Number.isInteger(code) && code >= 100 && code <= 599),
  };
}

/** The fields without those that steer the proxy. */
export const withoutControlFields = (headers: HeaderList): HeaderList =>
  headers.some(([name]) => CONTROL_FIELDS.has(name)) ? headers.filter(([name]) => !CONTROL_FIELDS.has(name)) : headers;

export interface EffectiveTimeouts {
  /** From the request's end to the response's, all tries and waits included. 0 = none. */
  readonly requestMs: number;
  /** 0 = none; always less than `requestMs` when both are there. */
  readonly perTryMs: number;
}

/**
 * The deadlines of one request: the route's; for gRPC the caller's `grpc-timeout` up to the route's cap; or what an
 * in-mesh caller asked for. A per-try timeout that could never fire before the whole is none.
 *
 * @param grpcTimeout  the field's text, for gRPC requests only
 */
export function effectiveTimeouts(
  action: Pick<ForwardAction, "timeoutMs" | "maximumGrpcTimeoutMs" | "retry">,
  overrides: RequestedOverrides,
  grpc: { readonly grpcTimeout: string | undefined } | undefined,
): EffectiveTimeouts {
  const ofRoute =
    grpc && action.maximumGrpcTimeoutMs !== undefined
      ? grpcTimeoutMs(grpc.grpcTimeout, action.maximumGrpcTimeoutMs)
      : action.timeoutMs;
  const requestMs = overrides.timeoutMs ?? ofRoute;
  const perTryMs = overrides.perTryTimeoutMs ?? action.retry?.perTryTimeoutMs ?? 0;
  return { requestMs, perTryMs: requestMs > 0 && perTryMs >= requestMs ? 0 : perTryMs };
}

/** 0 means infinity, for the caller's and for the cap. */
function grpcTimeoutMs(text: string | undefined, maximumMs: number): number {
  const asked = text === undefined ? 0 : (parseGrpcTimeout(text) ?? 0);
  return maximumMs > 0 && (asked === 0 || asked > maximumMs) ? maximumMs : asked;
}

/** `x-envoy-expected-rq-timeout-ms` for the upstream: how long we shall wait for this try. */
export function expectedTimeoutHeader({ requestMs, perTryMs }: EffectiveTimeouts): HeaderList {
  const expected = perTryMs > 0 ? perTryMs : requestMs;
  return expected > 0 ? [["x-envoy-expected-rq-timeout-ms", String(expected)]] : [];
}

const splitList = (text: string | undefined): readonly string[] =>
  text === undefined
    ? []
    : text
        .split(",", 100)
        .map((item) => item.trim())
        .filter((item) => item !== "");

const wholeNumber = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
