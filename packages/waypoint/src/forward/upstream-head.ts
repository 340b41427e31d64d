/** The head of a forwarded request, level by level. Pure. */
import { ok, type Result } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { requestFormat, toGrpcFields } from "../grpc-web/index.ts";
import type { OutgoingRequest, ResponseHead } from "../http/message.ts";
import { DEFAULT_PROXY_HEADERS, identified, withTrace } from "../observe/index.ts";
import type { RoutedContext } from "../request-context.ts";
import { withAttempt } from "../retry/index.ts";
import {
  type EffectiveTimeouts,
  expectedTimeoutHeader,
  type FormatFacts,
  type ForwardAction,
  formatGrpcTimeout,
  mutateHeaders,
  resolverOf,
  rewriteTarget,
  withoutControlFields,
  withPseudoHeaders,
} from "../route/index.ts";

/** What is the same for all attempts of one request. */
export type RequestTemplate = Pick<OutgoingRequest, "method" | "scheme" | "authority" | "path" | "headers" | "upgrade">;

/**
 * Rewrites and header operations of cluster, route and virtual host, in Envoy's order (inner first, so outer wins).
 * An error is for a 400: a rewrite would make a path that no policy saw.
 */
export function requestTemplate(
  context: RoutedContext,
  action: ForwardAction,
  facts: FormatFacts,
): Result<RequestTemplate> {
  const { exchange, route, virtualHost, cluster, path, authority } = context;
  const target = rewriteTarget(route.match.path, action, cluster, {
    path: path.path,
    query: path.query,
    authority: authority.authority,
  });
  if (!target.ok) return target;
  const levels = [cluster?.headers, route.headers, virtualHost.headers].flatMap((level) =>
    level ? [level.request] : [],
  );
  const mutated = mutateHeaders(withoutControlFields(context.headers), levels, resolverOf(facts));
  const { proxyHeaders = DEFAULT_PROXY_HEADERS, translatesGrpcWeb } = context.chain;
  const isWeb = translatesGrpcWeb === true && exchange.head.method === "POST" && requestFormat(exchange.head.headers);
  const inGrpc = isWeb ? toGrpcFields(mutated) : mutated;
  const { method, scheme, upgrade } = exchange.head;
  return ok({
    method,
    scheme,
    authority: target.value.authority,
    path: target.value.path,
    headers: replaced(identified(inGrpc, context.requestId, proxyHeaders), target.value.headers),
    ...(upgrade === undefined ? {} : { upgrade }),
  });
}

export interface AttemptFacts {
  /** 1 for the first. */
  readonly attempt: number;
  /** Which attempt the request was when it came. */
  readonly arrivedAs: number;
  readonly spanId: string;
  readonly timeouts: EffectiveTimeouts;
  /** Of the whole request; undefined = without limit. */
  readonly remainingMs: number | undefined;
}

/** The head of one attempt. */
export function attemptHead(template: RequestTemplate, context: RoutedContext, facts: AttemptFacts): OutgoingRequest {
  const set: (readonly [string, string])[] = [...expectedTimeoutHeader(facts.timeouts)];
  const hasDeadline = template.headers.some(([name]) => name === "grpc-timeout");
  if (hasDeadline && facts.remainingMs !== undefined) {
    set.push(["grpc-timeout", formatGrpcTimeout(Math.max(1, facts.remainingMs))]);
  }
  const counted = withAttempt(replaced(template.headers, set), facts.arrivedAs, facts.attempt);
  return { ...template, headers: withTrace(counted, context.trace, facts.spanId) };
}

/** Header operations of cluster, route and virtual host on an answer, inner first. `response` has `:status` first. */
export function mutateResponse(
  { cluster, route, virtualHost }: RoutedContext,
  head: ResponseHead,
  facts: FormatFacts,
): HeaderList {
  const levels = [cluster?.headers, route.headers, virtualHost.headers].flatMap((level) =>
    level ? [level.response] : [],
  );
  const response = [[":status", String(head.status)] as const, ...head.headers];
  return mutateHeaders(head.headers, levels, resolverOf({ ...facts, response }));
}

/** Facts for `%COMMAND%`s of header values. */
export function formatFactsOf(
  context: RoutedContext,
  own: Pick<FormatFacts, "localPrincipal" | "hostname">,
  startedAtEpochMs: number,
): FormatFacts {
  const { exchange, tunnel, path, authority, headers, token, route } = context;
  return {
    request: withPseudoHeaders({
      method: exchange.head.method,
      scheme: exchange.head.scheme,
      authority: authority.authority,
      path: path.path,
      query: path.query,
      headers,
    }),
    response: undefined,
    protocol: exchange.head.version,
    startedAtEpochMs,
    downstreamRemote: `${tunnel.client.ip}:${tunnel.client.port}`,
    downstreamLocal: tunnel.authorityText,
    peerPrincipal: tunnel.peerPrincipal,
    serverName: undefined,
    claims: token?.claims,
    routeName: route.name,
    cluster: context.cluster?.name,
    upstreamHost: undefined,
    responseFlags: undefined,
    requestId: context.requestId,
    ...own,
  };
}

/** `set` in place of fields of the same names. */
export function replaced(headers: HeaderList, set: HeaderList): HeaderList {
  if (set.length === 0) return headers;
  const names = new Set(set.map(([name]) => name));
  return [...headers.filter(([name]) => !names.has(name)), ...set];
}
