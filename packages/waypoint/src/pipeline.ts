/**
 * The way of one request through a waypoint, phase by phase. Read this first: each line is a phase, each phase a file of
 * `phases/`, and each of those asks one folder.
 *
 *   terminate -> normalize -> ask-external -> authenticate -> route -> authorize -> disturb -> act (balance, retry, forward) -> observe
 *
 * A phase answers with the request knowing more than before, or with a `Stop`: the client's answer. Whoever is not stopped
 * holds a permit, without which nothing can be forwarded.
 */

import { ErrorCode, type MeshError } from "@ambit/shared/errors";
import type { JwtVerifier } from "./authenticate/index.ts";
import { RequestInbox } from "./forward/request-inbox.ts";
import { LiveRequest } from "./live-request.ts";
import type { LiveTrafficSet } from "./live-traffic.ts";
import { act, type ForwardServices } from "./phases/act.ts";
import { askExternal } from "./phases/ask-external.ts";
import { authenticate } from "./phases/authenticate.ts";
import { authorizeRequest } from "./phases/authorize.ts";
import { disturb } from "./phases/disturb.ts";
import { normalizeRequest } from "./phases/normalize.ts";
import { routeRequest } from "./phases/route.ts";
import { callerOf, isStop, type Stop, stopWith } from "./phases/stop.ts";
import type { ExternalAuthorizers } from "./policy/index.ts";
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
  /** The exchange is over: its record can be told. Exactly once a request. */
  onFinished(request: ArrivedRequest): void;
  /** A refusal or failure that we answered ourselves; for the list of recent refusals. */
  onStopped(request: ArrivedRequest, stop: Stop): void;
  /** Policy changed, and the request, already under way, was cut. */
  onCutByPolicy(request: ArrivedRequest, code: ErrorCode, policy: string | undefined, message: string): void;
  /** A bug: the request was answered with 500. */
  onBug(error: unknown): void;
}

/** Serves one request, to its end. Never rejects. */
export function serveRequest(arrived: Omit<ArrivedRequest, "signal">, stages: Stages): Promise<void> {
  const { exchange, record } = arrived;
  const inbox = new RequestInbox(exchange, record, stages.replayMemory, (error) => {
    if (error && !record.finished) noteCut(arrived, error);
    stages.onFinished(request);
  });
  const request: ArrivedRequest = { ...arrived, signal: inbox.signal };
  exchange.receive(inbox);
  const answer = (stop: Stop): void => answerWith(request, stop, inbox, stages);
  return runPhases(request, inbox, stages, answer).then(
    (stop) => {
      if (stop && !request.signal.aborted) answer(stop);
    },
    (bug: unknown) => {
      stages.onBug(bug);
      const response = localResponse(callerOf(request), ErrorCode.INVARIANT_VIOLATED);
      if (!request.signal.aborted) answer(stopWith(response));
    },
  );
}

async function runPhases(
  arrived: ArrivedRequest,
  inbox: RequestInbox,
  stages: Stages,
  answer: (stop: Stop) => void,
): Promise<Stop | undefined> {
  const normal = normalizeRequest(arrived, stages.localPrincipal());
  if (isStop(normal)) return normal;
  const consented = await askExternal(normal, inbox, stages.authorizers);
  if (isStop(consented)) return consented;
  const known = await authenticate(consented, stages.verifier);
  if (isStop(known)) return known;
  const routed = routeRequest(known, stages.random);
  if (isStop(routed)) return routed;
  const authorized = authorizeRequest(routed);
  if (isStop(authorized)) return authorized;
  keepJudging(routed, stages);
  const disturbed = routed.route.fault && (await disturb(routed, stages.clock, stages.random));
  if (disturbed) return disturbed;
  // After authorization, as in Istio: a preflight needs a policy that lets it pass.
  const cors = routed.route.cors
    ? decideCors(routed.route.cors, arrived.exchange.head.method, routed.headers)
    : ({ kind: "pass" } as const);
  if (cors.kind === "answer") {
    return stopWith(preflightResponse(cors.headers));
  }
  return act({ permit: authorized.permit, context: routed, inbox, cors, services: stages, answer });
}

function keepJudging(routed: RoutedContext, stages: Stages): void {
  const live = new LiveRequest(routed, (...why) => stages.onCutByPolicy(routed, ...why));
  routed.signal.addEventListener("abort", stages.live.add(live), { once: true });
}

function answerWith(request: ArrivedRequest, stop: Stop, inbox: RequestInbox, stages: Stages): void {
  request.record.localResponse(stop.response, stop.policy);
  if (stop.message !== "") stages.onStopped(request, stop);
  inbox.body.discard();
  sendResponse(request.exchange, stop.response);
}

/** The client left before anybody answered it. */
function noteCut({ record }: Pick<ArrivedRequest, "record">, error: MeshError): void {
  record.cut(error.code, error.origin === "downstream" ? "DC" : undefined, "downstream_remote_disconnect");
}
