/** The parts of a VirtualService's HTTP route beside matches and destinations. */
import { HeaderValueOption_HeaderAppendAction as Append } from "@ambit/envoy-api/envoy/config/core/v3/base";
import type { StringMatcherSchema } from "@ambit/envoy-api/envoy/type/matcher/v3/string";
import { isRecord, recordAt, recordsAt, textAt, textsAt } from "@ambit/shared/kube";
import { portOf, whole } from "../numbers.ts";
import { isPattern } from "../pattern.ts";
import { duration, type Init } from "../proto.ts";
import { milliseconds } from "../time.ts";
import type { CorsInit } from "./cors.ts";
import type { RouteInit } from "./default-route.ts";
import { type HeaderChanges, type HeaderOption, isChangeable, option } from "./header-changes.ts";
import { ALL_REQUESTS, fractionOf, MILLION } from "./mirror.ts";
import { REDIRECT_CODES } from "./redirect.ts";
import { defaultRetry, elsewhere, type RetryInit, retriesIn } from "./retry.ts";
import type { FaultInit } from "./route-filters.ts";

type Fields = Readonly<Record<string, unknown>>;
type Action = Pick<RouteInit, "action">;

/** A redirect; undefined when there is none. Unknown codes are answered 500, for Envoy would refuse the table. */
export function redirectOf(redirect: unknown, requestPort: number): Action | undefined {
  if (!isRecord(redirect)) return undefined;
  const responseCode = REDIRECT_CODES[Number(redirect["redirectCode"] ?? 301)];
  if (responseCode === undefined) return { action: { case: "directResponse", value: { status: 500 } } };
  const [uri, authority, scheme] = [textAt(redirect, "uri"), textAt(redirect, "authority"), textAt(redirect, "scheme")];
  const port = redirectPort(redirect, scheme, requestPort);
  const isPrefix = uri.startsWith("%PREFIX()%");
  return {
    action: {
      case: "redirect",
      value: {
        responseCode,
        ...(authority !== "" && { hostRedirect: authority }),
        ...(scheme !== "" && { schemeRewriteSpecifier: { case: "schemeRedirect", value: scheme } }),
        ...(port !== undefined && { portRedirect: port }),
        ...(uri !== "" && {
          pathRewriteSpecifier: isPrefix
            ? { case: "prefixRewrite", value: uri.slice("%PREFIX()%".length) }
            : { case: "pathRedirect", value: uri },
        }),
      },
    },
  };
}

function redirectPort(redirect: Fields, scheme: string, requestPort: number): number | undefined {
  const { port, derivePort } = redirect;
  const given = portOf(port);
  if (given !== undefined) return given;
  if (derivePort !== "FROM_REQUEST_PORT") return undefined;
  const wellKnown = scheme === "https" ? 443 : 80;
  return requestPort === wellKnown ? undefined : requestPort;
}

/** Of an answer that is in the route itself. */
export const MAX_BODY_LENGTH = 256 * 1024;

export function directResponseOf(response: unknown): Action | undefined {
  if (!isRecord(response)) return undefined;
  const { status } = response;
  const body = recordAt(response, "body");
  const text = textAt(body, "string");
  const bytes = textAt(body, "bytes");
  if (text.length + bytes.length > MAX_BODY_LENGTH)
    return { action: { case: "directResponse", value: { status: 500 } } };
  return {
    action: {
      case: "directResponse",
      value: {
        status: whole(status, 200, 599) ?? 500,
        ...(text !== "" && { body: { specifier: { case: "inlineString", value: text } } }),
        ...(bytes !== "" && { body: { specifier: { case: "inlineBytes", value: Buffer.from(bytes, "base64") } } }),
      },
    },
  };
}

const shareOf = (fields: Fields): number => {
  const value = recordAt(fields, "percentage")["value"];
  return typeof value === "number" ? value * 10_000 : MILLION;
};

/** Delays and aborts; what Envoy would refuse is left out. */
export function faultOf(fault: unknown): FaultInit | undefined {
  if (!isRecord(fault)) return undefined;
  const [delay, abort] = [recordAt(fault, "delay"), recordAt(fault, "abort")];
  const delayMs = milliseconds(delay["fixedDelay"]);
  const { httpStatus } = abort;
  const grpcStatus = GRPC_CODES.indexOf(textAt(abort, "grpcStatus"));
  const aborts = whole(httpStatus, 200, 599);
  if (!delayMs && aborts === undefined && grpcStatus < 0) return undefined;
  return {
    ...(delayMs && {
      delay: {
        faultDelaySecifier: { case: "fixedDelay", value: duration(delayMs) },
        percentage: fractionOf(shareOf(delay)),
      },
    }),
    ...((aborts !== undefined || grpcStatus >= 0) && {
      abort: {
        errorType:
          aborts === undefined ? { case: "grpcStatus", value: grpcStatus } : { case: "httpStatus", value: aborts },
        percentage: fractionOf(shareOf(abort)),
      },
    }),
  };
}

/** By number. Spec: gRPC status codes. */
const GRPC_CODES: readonly string[] = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** @param hashed  the endpoint is chosen by what is in the request: another one would be the wrong one */
export function retriesOf(retries: unknown, hashed: boolean): { readonly retryPolicy?: RetryInit } {
  if (!isRecord(retries)) return { retryPolicy: hashed ? withoutElsewhere(defaultRetry()) : defaultRetry() };
  const { attempts } = retries;
  if (attempts === 0) return {};
  const [perTry, backoff] = [milliseconds(retries["perTryTimeout"]), milliseconds(retries["backoff"])];
  const asked = textAt(retries, "retryOn")
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean);
  const codes = asked.filter((each) => /^[1-5]\d\d$/.test(each)).map(Number);
  const named = asked.filter((each) => !/^\d+$/.test(each));
  const conditions = [...named, ...(codes.length > 0 ? ["retriable-status-codes"] : [])];
  const ignoresTried = retries["retryIgnorePreviousHosts"];
  const leaves = typeof ignoresTried === "boolean" ? ignoresTried : !hashed;
  return {
    retryPolicy: {
      retryOn: conditions.length > 0 ? conditions.join(",") : (defaultRetry().retryOn ?? ""),
      ...(codes.length > 0 && { retriableStatusCodes: codes }),
      numRetries: retriesIn(attempts),
      ...(perTry && { perTryTimeout: duration(perTry) }),
      ...(backoff && { retryBackOff: { baseInterval: duration(backoff) } }),
      ...(leaves && elsewhere()),
    },
  };
}

const withoutElsewhere = ({ retryHostPredicate: _host, hostSelectionRetryMaxAttempts: _max, ...rest }: RetryInit) =>
  rest;

export function corsPolicyOf(cors: unknown): CorsInit | undefined {
  if (!isRecord(cors)) return undefined;
  const maxAge = milliseconds(cors["maxAge"]);
  return {
    filterEnabled: ALL_REQUESTS,
    allowOriginStringMatch: [
      ...recordsAt(cors, "allowOrigins").flatMap((each) => originOf(each) ?? []),
      ...textsAt(cors, "allowOrigin").map((value): StringInit => ({ matchPattern: { case: "exact", value } })),
    ],
    allowMethods: textsAt(cors, "allowMethods").join(","),
    allowHeaders: textsAt(cors, "allowHeaders").join(","),
    exposeHeaders: textsAt(cors, "exposeHeaders").join(","),
    ...(maxAge !== undefined && { maxAge: String(Math.floor(maxAge / 1000)) }),
    ...(typeof cors["allowCredentials"] === "boolean" && { allowCredentials: cors["allowCredentials"] }),
    forwardNotMatchingPreflights: cors["unmatchedPreflights"] !== "IGNORE",
  };
}

type StringInit = Init<typeof StringMatcherSchema>;

function originOf({ exact, prefix, regex }: Fields): StringInit | undefined {
  if (typeof exact === "string") return { matchPattern: { case: "exact", value: exact } };
  if (typeof prefix === "string" && prefix !== "") return { matchPattern: { case: "prefix", value: prefix } };
  return typeof regex === "string" && isPattern(regex)
    ? { matchPattern: { case: "safeRegex", value: { regex } } }
    : undefined;
}

/** Headers to set, add and remove; to set the host is to rewrite it. Values may have Envoy's `%COMMANDS%`, as Istio's may. */
export function headersOf(headers: unknown): HeaderChanges & { readonly hostRewrite?: string } {
  if (!isRecord(headers)) return {};
  const request = changesOf(recordAt(headers, "request"));
  const response = changesOf(recordAt(headers, "response"));
  const host = Object.entries(recordAt(recordAt(headers, "request"), "set")).find(([name]) =>
    ["host", ":authority"].includes(name.toLowerCase()),
  )?.[1];
  return {
    ...(request.add.length > 0 && { requestHeadersToAdd: request.add }),
    ...(request.remove.length > 0 && { requestHeadersToRemove: request.remove }),
    ...(response.add.length > 0 && { responseHeadersToAdd: response.add }),
    ...(response.remove.length > 0 && { responseHeadersToRemove: response.remove }),
    ...(typeof host === "string" && host !== "" && { hostRewrite: host }),
  };
}

function changesOf(operations: Fields): { readonly add: HeaderOption[]; readonly remove: string[] } {
  const options = (field: string, action: Append): HeaderOption[] =>
    Object.entries(recordAt(operations, field))
      .filter((each): each is [string, string] => isChangeable(each[0]) && isFormat(each[1]))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => option(name, value, action));
  return {
    add: [...options("set", Append.OVERWRITE_IF_EXISTS_OR_ADD), ...options("add", Append.APPEND_IF_EXISTS_OR_ADD)],
    remove: textsAt(operations, "remove").filter(isChangeable),
  };
}

/** Envoy's substitution commands; any other makes it refuse the whole table. */
const COMMANDS: ReadonlySet<string> = new Set([
  "REQ",
  "RESP",
  "TRAILER",
  "START_TIME",
  "PROTOCOL",
  "HOSTNAME",
  "REQUEST_DURATION",
  "RESPONSE_CODE",
  "RESPONSE_CODE_DETAILS",
  "RESPONSE_FLAGS",
  "BYTES_RECEIVED",
  "BYTES_SENT",
  "DOWNSTREAM_REMOTE_ADDRESS",
  "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
  "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
  "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
  "DOWNSTREAM_LOCAL_ADDRESS",
  "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
  "DOWNSTREAM_LOCAL_PORT",
  "DOWNSTREAM_PEER_URI_SAN",
  "DOWNSTREAM_LOCAL_URI_SAN",
  "DYNAMIC_METADATA",
  "UPSTREAM_HOST",
  "UPSTREAM_CLUSTER",
  "ROUTE_NAME",
  "REQUESTED_SERVER_NAME",
]);

/** Literal text, doubled percent signs, and commands that are known. */
function isFormat(value: unknown): value is string {
  if (typeof value !== "string" || /[\0\r\n]/.test(value)) return false;
  if (!/^(?:[^%]|%%|%[A-Z_]+(?:\([^%]*\))?(?::\d+)?%)*$/.test(value)) return false;
  return [...value.matchAll(/%([A-Z_]+)(?:\([^%]*\))?(?::\d+)?%/g)].every(([, command = ""]) => COMMANDS.has(command));
}
