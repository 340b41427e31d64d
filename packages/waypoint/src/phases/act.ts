/** Phase 6: what the route says: forward, redirect, or answer. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { Clock, Random } from "@ambit/shared/time";
import type { ClusterBalancers } from "../balance/index.ts";
import type { Cluster, Endpoint } from "../balance/model.ts";
import { forwardRequest } from "../forward/forward-request.ts";
import { MirrorRequest } from "../forward/mirror-request.ts";
import type { RequestInbox } from "../forward/request-inbox.ts";
import { formatFactsOf, requestTemplate } from "../forward/upstream-head.ts";
import type { UpstreamConnection } from "../http/message.ts";
import type { PeerInfo } from "../observe/index.ts";
import type { RequestPermit } from "../policy/index.ts";
import type { RoutedContext } from "../request-context.ts";
import { directResponse, redirectLocation, redirectResponse } from "../respond/index.ts";
import { applyRetryOverrides, attemptOf, type RetryGate } from "../retry/index.ts";
import {
  type CorsVerdict,
  draws,
  effectiveTimeouts,
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
}

export interface Upstream {
  readonly cluster: Cluster;
  readonly endpoint: Endpoint;
  /** One that carried nothing yet. */
  readonly fresh: boolean;
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
      return stopWith(directResponse(callerOf(context), action.status, action.body));
    case "redirect": {
      const { exchange, authority, path, route, tunnel } = context;
      const location = redirectLocation(action, route.match.path, {
        scheme: exchange.head.scheme,
        authority: authority.authority,
        path: path.path,
        query: path.query,
        port: chain.service?.port ?? tunnel.destination.port,
      });
      return stopWith(redirectResponse(action.status, location));
    }
    case "forward":
      return forward(init, action);
    default:
      return action satisfies never;
  }
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
  const own = { localPrincipal: services.localPrincipal(), hostname: services.hostname };
  const facts = formatFactsOf(context, own, services.clock.now());
  const template = requestTemplate(context, action, facts);
  if (!template.ok) return refuse(context, ErrorCode.REQUEST_MALFORMED, { message: template.error });
  record.path = template.value.path;
  record.requestHeaders = template.value.headers;
  const overrides = readOverrides(exchange.head.headers, true);
  const retry = upgrade === undefined ? applyRetryOverrides(action.retry, overrides) : undefined;
  if (retry === undefined) inbox.body.limitReplay(0);
  forwardRequest(permit, {
    context,
    cluster,
    inbox,
    template: template.value,
    timeouts: timeoutsOf(context, action, overrides),
    retry,
    retryGate: services.retryGate,
    arrivedAs: attemptOf(exchange.head.headers),
    facts,
    hash: hashOf(context, action, services.random),
    responseHeaders: responseHeadersOf(init),
    mirrors: startMirrors(init, action, template.value),
    clock: services.clock,
    random: services.random,
    balancers: services.balancers,
    connect: (granted, to, use) => services.connect(granted, context, { cluster, ...to }, use),
    peerOf: (endpoint) => services.peerOf(endpoint),
    answer: (error) => init.answer(refuse(context, error)),
  });
  return undefined;
}

function timeoutsOf(context: RoutedContext, action: ForwardAction, overrides: RequestedOverrides) {
  const { record, headers, exchange } = context;
  if (exchange.head.upgrade !== undefined) return { requestMs: 0, perTryMs: 0 };
  const grpc = record.isGrpc ? { grpcTimeout: headers.find(([name]) => name === "grpc-timeout")?.[1] } : undefined;
  return effectiveTimeouts(action, overrides, grpc);
}

const hashOf = ({ headers, path, tunnel }: RoutedContext, action: ForwardAction, random: Random) =>
  hashKey(action.hashPolicies, { headers, query: path.query, sourceIp: tunnel.client.ip }, random);

function responseHeadersOf({ cors, context }: Act): { readonly set: HeaderList; readonly append: HeaderList } {
  const own = context.responseHeaders;
  return cors.kind === "decorate" ? { set: [...own, ...cors.set], append: cors.append } : { set: own, append: [] };
}

/** Copies go to a mirror's own pick of endpoints; no policy is asked again: the request is the one that was permitted. */
function startMirrors(init: Act, action: ForwardAction, head: MirrorRequestHead) {
  const { context, services } = init;
  return action.mirrors.flatMap(({ cluster: name, fractionPerMillion }) => {
    const cluster = context.model.clusters.get(name);
    if (!cluster || !draws(fractionPerMillion, services.random)) return [];
    return [
      new MirrorRequest({
        head,
        bodyLength: context.exchange.bodyLength,
        connect: (use) => connectMirror(init, cluster, use),
        onEnd: (error) => services.onMirror(name, error),
      }),
    ];
  });
}

type MirrorRequestHead = ConstructorParameters<typeof MirrorRequest>[0]["head"];

async function connectMirror(
  { services, permit, context }: Act,
  cluster: Cluster,
  use: (connection: UpstreamConnection) => void,
): Promise<void> {
  const picked = services.balancers.pick(cluster);
  if (picked.kind === "none") throw new MeshError(ErrorCode.NO_HEALTHY_UPSTREAM, picked.message);
  await services.connect(permit, context, { cluster, endpoint: picked.endpoint, fresh: false }, use);
}
