/** Phase 6: what the route says: forward, redirect, or answer. */
import { ErrorCode, type MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { Clock, Random } from "@ambit/shared/time";
import { type ClusterBalancers, resultOfAnswer, resultOfError } from "../balance/index.ts";
import type { Cluster, Endpoint } from "../balance/model.ts";
import { unpicked } from "../forward/attempt.ts";
import { forwardRequest } from "../forward/forward-request.ts";
import { MirrorRequest } from "../forward/mirror-request.ts";
import { originalEndpoint } from "../forward/original-endpoint.ts";
import type { RequestInbox } from "../forward/request-inbox.ts";
import { formatFactsOf, mutateResponse, replaced, requestTemplate } from "../forward/upstream-head.ts";
import type { AcquireOptions } from "../forward/upstream-pool.ts";
import type { OutgoingRequest, UpstreamConnection } from "../http/message.ts";
import type { PeerInfo } from "../observe/index.ts";
import type { RequestPermit } from "../policy/index.ts";
import type { RoutedContext } from "../request-context.ts";
import { directResponse, type LocalResponse, redirectLocation, redirectResponse } from "../respond/index.ts";
import { applyRetryOverrides, attemptOf, type RetryGate } from "../retry/index.ts";
import {
  type CorsVerdict,
  draws,
  effectiveTimeouts,
  type FormatFacts,
  type ForwardAction,
  hashKey,
  type RequestedOverrides,
  readOverrides,
} from "../route/index.ts";
import { callerOf, refuse, type Stop, stopWith } from "./stop.ts";

/** What forwarding needs besides the request. */
export interface ForwardServices {
  readonly clock: Clock;
  readonly random: Random;
  readonly hostname: string;
  readonly balancers: ClusterBalancers;
  readonly retryGate: RetryGate;
  localPrincipal(): string | undefined;
  /** Calls `use` with a connection that has room, in the turn in which it has it. */
  connect(
    permit: RequestPermit,
    context: RoutedContext,
    upstream: Upstream,
    use: (connection: UpstreamConnection) => void,
  ): Promise<void>;
  peerOf(endpoint: Endpoint): PeerInfo;
  onMirror(cluster: string, error: MeshError | undefined): void;
  /** A limit of a cluster refused something: "requests", "pending", "connections", "retries", or their "budget". */
  onLimit(cluster: string, limit: string): void;
}

export interface Upstream extends AcquireOptions {
  readonly cluster: Cluster;
  readonly endpoint: Endpoint;
}

export interface Act {
  readonly permit: RequestPermit;
  readonly context: RoutedContext;
  readonly inbox: RequestInbox;
  readonly cors: Exclude<CorsVerdict, { kind: "answer" }>;
  readonly services: ForwardServices;
  /** Sends an answer of our own, when forwarding ends without one. */
  answer(stop: Stop): void;
}

/** Undefined: it is being forwarded. */
export function act(init: Act): Stop | undefined {
  const { context } = init;
  const { action } = context.route;
  const { record, chain } = context;
  record.destinationService = chain.service;
  switch (action.kind) {
    case "direct":
      return stopWith(withRouteHeaders(init, directResponse(callerOf(context), action.status, action.body)));
    case "redirect": {
      const { authority, path, route } = context;
      const location = redirectLocation(action, route.match.path, {
        ...callersView(context),
        authority: authority.authority,
        path: path.path,
        query: path.query,
      });
      return stopWith(withRouteHeaders(init, redirectResponse(action.status, location)));
    }
    case "forward":
      return forward(init, action);
    default:
      return action satisfies never;
  }
}

/**
 * Scheme and port as the user's client sees them: the service's, unless the first proxy on the way tells of another scheme,
 * whose own port it then is. Parity: Envoy's redirects.
 */
function callersView({ headers, exchange, chain, tunnel }: RoutedContext): { scheme: string; port: number } {
  const { scheme } = exchange.head;
  const told = headers.find(([name]) => name === "x-forwarded-proto")?.[1];
  if (told !== scheme && told === "https") return { scheme: told, port: 443 };
  if (told !== scheme && told === "http") return { scheme: told, port: 80 };
  return { scheme, port: chain.service?.port ?? tunnel.destination.port };
}

/** What a route says of answers holds for its own too. Parity: Envoy finalizes the headers of direct responses. */
function withRouteHeaders(init: Act, response: LocalResponse): LocalResponse {
  const { context, services } = init;
  const mutated = mutateResponse(context, response.head, factsOf(context, services));
  const { set, append } = responseHeadersOf(init);
  return { ...response, head: { ...response.head, headers: [...replaced(mutated, set), ...append] } };
}

function factsOf(context: RoutedContext, services: ForwardServices): FormatFacts {
  const own = { localPrincipal: services.localPrincipal(), hostname: services.hostname };
  return formatFactsOf(context, own, services.clock.now());
}

function forward(init: Act, action: ForwardAction): Stop | undefined {
  const { context, services, inbox, permit } = init;
  const { record, model, exchange, chain } = context;
  const name = context.cluster?.name ?? "";
  const cluster = model.clusters.get(name);
  record.cluster = name;
  if (!cluster) {
    const message = `the route ${context.route.name} sends to ${name}, which does not exist`;
    return refuse(context, ErrorCode.CLUSTER_NOT_FOUND, { status: action.missingClusterStatus, message });
  }
  record.destinationService = cluster.service ?? chain.service;
  const { upgrade } = exchange.head;
  if (upgrade !== undefined && !chain.upgrades.includes(upgrade)) {
    return refuse(context, ErrorCode.UPGRADE_REFUSED, { message: `upgrade to ${upgrade} is not allowed here` });
  }
  const facts = factsOf(context, services);
  const template = requestTemplate(context, action, facts);
  if (!template.ok) return refuse(context, ErrorCode.REQUEST_MALFORMED, { message: template.error });
  record.path = template.value.path;
  record.requestHeaders = template.value.headers;
  const overrides = readOverrides(exchange.head.headers, true);
  const responseHeaders = responseHeadersOf(init);
  const retry = upgrade === undefined ? applyRetryOverrides(action.retry, overrides) : undefined;
  if (retry === undefined) inbox.body.limitReplay(0);
  forwardRequest(permit, {
    context,
    cluster,
    inbox,
    template: template.value,
    ...deadlinesOf(context, action, overrides),
    retry,
    retryGate: services.retryGate,
    arrivedAs: attemptOf(exchange.head.headers),
    facts,
    hash: hashOf(context, action, services.random),
    responseHeaders,
    original: context.named ?? originalEndpoint(cluster, context.tunnel.destination),
    onLimit: (limit) => services.onLimit(cluster.name, limit),
    mirrors: startMirrors(init, action, template.value),
    clock: services.clock,
    random: services.random,
    balancers: services.balancers,
    connect: (granted, to, use) => services.connect(granted, context, { cluster, ...to }, use),
    peerOf: (endpoint) => services.peerOf(endpoint),
    // With what browsers want to see of any answer, and authorizers of theirs.
    answer: (error) =>
      init.answer(refuse(context, error, { headers: [...responseHeaders.set, ...responseHeaders.append] })),
  });
  return undefined;
}

function deadlinesOf(context: RoutedContext, action: ForwardAction, overrides: RequestedOverrides) {
  const { record, headers, exchange } = context;
  if (exchange.head.upgrade !== undefined) return { timeouts: { requestMs: 0, perTryMs: 0 }, isGrpcDeadline: false };
  const grpcTimeout = record.isGrpc ? headers.find(([name]) => name === "grpc-timeout")?.[1] : undefined;
  const timeouts = effectiveTimeouts(action, overrides, record.isGrpc ? { grpcTimeout } : undefined);
  const isNamed = grpcTimeout !== undefined && action.maximumGrpcTimeoutMs !== undefined;
  return { timeouts, isGrpcDeadline: isNamed && overrides.timeoutMs === undefined };
}

const hashOf = ({ headers, path, tunnel }: RoutedContext, action: ForwardAction, random: Random) =>
  hashKey(action.hashPolicies, { headers, query: path.query, sourceIp: tunnel.client.ip }, random);

function responseHeadersOf({ cors, context }: Act): { readonly set: HeaderList; readonly append: HeaderList } {
  const own = context.responseHeaders;
  return cors.kind === "decorate" ? { set: [...own, ...cors.set], append: cors.append } : { set: own, append: [] };
}

/** Copies go to a mirror's own pick of endpoints; no policy is asked again: the request is the one that was permitted. */
function startMirrors(init: Act, action: ForwardAction, head: OutgoingRequest): readonly MirrorRequest[] {
  const { context, services } = init;
  // What goes both ways cannot be thrown away one way.
  if (head.upgrade !== undefined) return [];
  return action.mirrors.flatMap(({ cluster: name, fractionPerMillion }) => {
    const cluster = context.model.clusters.get(name);
    return cluster && draws(fractionPerMillion, services.random) ? [startMirror(init, cluster, head)] : [];
  });
}

function startMirror({ context, services, permit }: Act, cluster: Cluster, head: OutgoingRequest): MirrorRequest {
  const { balancers, clock } = services;
  const original = originalEndpoint(cluster, context.tunnel.destination);
  const picked = balancers.pick(cluster, original ? { original } : {});
  if (picked.kind === "picked") balancers.started(picked.token);
  return new MirrorRequest({
    head,
    bodyLength: context.exchange.bodyLength,
    clock,
    async connect(use) {
      if (picked.kind === "none") throw unpicked(picked, "requests");
      await services.connect(permit, context, { cluster, endpoint: picked.endpoint }, use);
    },
    onEnd(error, status) {
      const outcome = error ? { kind: resultOfError(error) } : { kind: resultOfAnswer(status), status };
      if (picked.kind === "picked") balancers.finished(picked.token, outcome);
      services.onMirror(cluster.name, error);
    },
  });
}
