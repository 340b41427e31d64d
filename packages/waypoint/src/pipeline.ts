/**
 * The way of one request through a waypoint, phase by phase. Read this first: each line is a phase, each phase a file of
 * `phases/`, and each of those asks one folder.
 *
 *   terminate -> normalize -> ask-external -> authenticate -> route -> authorize -> disturb -> act (balance, retry, forward) -> observe
 *
 * A phase answers with the request knowing more than before, or with a `Stop`: the client's answer. Whoever is not stopped
 * holds a permit, without which nothing can be forwarded.
 */

import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { isBreach } from "@ambit/shared/http2";
import type { JwtVerifier } from "./authenticate/index.ts";
import type { DynamicHosts } from "./balance/dynamic-hosts.ts";
import { failureOutcome } from "./failure-outcome.ts";
import { RequestInbox } from "./forward/request-inbox.ts";
import { translateGrpcWeb } from "./grpc-web/index.ts";
import { LiveRequest } from "./live-request.ts";
import type { LiveTrafficSet } from "./live-traffic.ts";
import type { RouteModel } from "./model/route-model.ts";
import { answerHeaders, DEFAULT_PROXY_HEADERS, type RequestRecord } from "./observe/index.ts";
import { act, type ForwardServices } from "./phases/act.ts";
import { askExternal } from "./phases/ask-external.ts";
import { authenticate } from "./phases/authenticate.ts";
import { authorizeRequest, authorizeUnrouted } from "./phases/authorize.ts";
import { disturb } from "./phases/disturb.ts";
import { normalizeRequest } from "./phases/normalize.ts";
import { namesItsHost, resolveHost } from "./phases/resolve.ts";
import { routeRequest } from "./phases/route.ts";
import { callerOf, isStop, refuse, type Stop, stopWith } from "./phases/stop.ts";
import type { ExternalAuthorizers, RequestPermit } from "./policy/index.ts";
import type { ArrivedRequest, RoutedContext } from "./request-context.ts";
import { localResponse, preflightResponse, sendResponse } from "./respond/index.ts";
import type { ReplayMemory } from "./retry/index.ts";
import { decideCors } from "./route/index.ts";

/** Those whom the phases ask. */
export interface Stages extends ForwardServices {
  readonly replayMemory: ReplayMemory;
  /** What runs, for when policy changes meanwhile. */
  readonly live: LiveTrafficSet;
  readonly verifier: JwtVerifier;
  readonly authorizers: ExternalAuthorizers;
  readonly dynamicHosts: DynamicHosts;
  /** The configuration of the moment. */
  model(): RouteModel;
  /** The exchange is over: its record can be told. Exactly once a request. */
  onFinished(request: ArrivedRequest): void;
  /** A refusal or failure that we answered ourselves; for the list of recent refusals. */
  onStopped(request: ArrivedRequest, stop: Stop): void;
  /** Policy changed, and the request, already under way, was cut. */
  onCutByPolicy(request: ArrivedRequest, code: ErrorCode, policy: string | undefined, message: string): void;
  /** So much is known by now of a stream that runs on. */
  onProgress(record: RequestRecord): void;
  /** A bug: the request was answered with 500. */
  onBug(error: unknown): void;
}

/** Serves one request, to its end. Never rejects. */
export function serveRequest(arrived: Omit<ArrivedRequest, "signal">, stages: Stages): Promise<void> {
  const { record, chain } = arrived;
  const exchange = chain.translatesGrpcWeb ? translateGrpcWeb(arrived.exchange) : arrived.exchange;
  const inbox = new RequestInbox(exchange, record, stages.replayMemory, (error) => {
    noteEnd(request, error);
    stages.onFinished(request);
  });
  const request: ArrivedRequest = { ...arrived, exchange, signal: inbox.signal };
  exchange.receive(inbox);
  const answer = (stop: Stop): void => answerWith(request, stop, inbox, stages);
  return runPhases(request, inbox, stages, answer)
    .catch((thrown: unknown) => stopOf(request, thrown, stages))
    .then((stop) => {
      if (stop && !request.signal.aborted) answer(stop);
    });
}

interface Authorized {
  readonly permit: RequestPermit;
  readonly context: RoutedContext;
}

/** Undefined: it is being forwarded, or nobody waits for its answer any more. */
async function runPhases(
  arrived: ArrivedRequest,
  inbox: RequestInbox,
  stages: Stages,
  answer: (stop: Stop) => void,
): Promise<Stop | undefined> {
  const { signal, exchange } = arrived;
  const authorized = await findPermit(arrived, inbox, stages);
  if (signal.aborted) return undefined;
  if (isStop(authorized)) return authorized;
  const { context, permit } = authorized;
  keepJudging(context, stages);
  const disturbed = context.route.fault && (await disturb(context, stages.clock, stages.random));
  // Also when the policy changed during the wait: the permit is no longer one.
  if (signal.aborted || disturbed) return disturbed;
  // After authorization, as in Istio: a preflight needs a policy that lets it pass.
  const cors = context.route.cors
    ? decideCors(context.route.cors, exchange.head.method, context.headers)
    : ({ kind: "pass" } as const);
  if (cors.kind === "answer") return stopWith(preflightResponse(cors.headers));
  const resolved = namesItsHost(context) ? await resolveHost(context, stages.dynamicHosts) : context;
  if (signal.aborted) return undefined;
  if (isStop(resolved)) return resolved;
  return act({ permit, context: resolved, inbox, cors, services: stages, answer });
}

/** From arrival to the permit: what the request is, who sends it, where it is to go, whether it may. */
async function findPermit(arrived: ArrivedRequest, inbox: RequestInbox, stages: Stages): Promise<Authorized | Stop> {
  const normal = normalizeRequest(arrived, stages.localPrincipal());
  if (isStop(normal)) return normal;
  const consented = await askExternal(normal, inbox, stages);
  if (isStop(consented)) return consented;
  const known = await authenticate(consented, stages.verifier);
  if (isStop(known)) return known;
  const context = routeRequest(known, stages.random);
  if (isStop(context)) return authorizeUnrouted(known) ?? context;
  const authorized = authorizeRequest(context);
  return isStop(authorized) ? authorized : { permit: authorized.permit, context };
}

/** From here the request ends when a policy would no longer let it in. */
function keepJudging(routed: RoutedContext, stages: Stages): void {
  const live = new LiveRequest(routed, {
    onRefused: (...why) => stages.onCutByPolicy(routed, ...why),
    onProgress: (record) => stages.onProgress(record),
  });
  routed.signal.addEventListener("abort", stages.live.add(live), { once: true });
  // The configuration may have changed while authorizers or key servers were asked.
  const model = stages.model();
  if (model !== routed.model) live.reconsider(model);
}

function answerWith(request: ArrivedRequest, stop: Stop, inbox: RequestInbox, stages: Stages): void {
  request.record.localResponse(stop.response, stop.policy);
  if (stop.message !== "") stages.onStopped(request, stop);
  inbox.body.discard();
  const own = answerHeaders(request.chain.proxyHeaders ?? DEFAULT_PROXY_HEADERS, undefined);
  sendResponse(request.exchange, stop.response, own);
}

/** A stage may refuse by throwing (an expression that would cost too much, a client that left); all else is a bug. */
function stopOf(request: ArrivedRequest, thrown: unknown, stages: Stages): Stop {
  if (thrown instanceof MeshError && thrown.code !== ErrorCode.INVARIANT_VIOLATED) return refuse(request, thrown);
  stages.onBug(thrown);
  return stopWith(localResponse(callerOf(request), ErrorCode.INVARIANT_VIOLATED));
}

/** Codes of a client that broke the protocol; any other failure of its side means that it left. */
const BROKEN: ReadonlySet<ErrorCode> = new Set([ErrorCode.REQUEST_MALFORMED, ErrorCode.REQUEST_LIMIT_EXCEEDED]);
const isBroken = (error: MeshError): boolean => BROKEN.has(error.code) || isBreach(error);

/** An end that nobody has noted yet: the client's doing, or a fault of ours. */
function noteEnd(request: ArrivedRequest, error: MeshError | undefined): void {
  const { record } = request;
  // CANCELLED: the answer was complete, the rest of the request was not wanted.
  if (error === undefined || error.code === ErrorCode.CANCELLED || record.code !== undefined) return;
  if (BROKEN.has(error.code) && error.context["status"] !== 0) {
    // The codec answered by itself in the middle of the body.
    record.localResponse(localResponse(callerOf(request), error));
    return;
  }
  const isGone = error.origin === "downstream" && !isBroken(error);
  const { flag, details } = failureOutcome(isGone ? ErrorCode.DOWNSTREAM_RESET : error);
  record.cut(error.code, flag, details);
}
