/** What a rule of an HTTPRoute or GRPCRoute does beside choosing backends. */
import type {
  RouteActionSchema,
  WeightedCluster_ClusterWeightSchema,
} from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { isRecord, recordsAt, textAt } from "@ambit/shared/kube";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Init } from "../proto.ts";
import { milliseconds } from "../time.ts";
import type { BackendContext, RouteIdentity } from "./backends.ts";
import { backendOf } from "./backends.ts";
import { corsOf } from "./cors.ts";
import type { RouteInit } from "./default-route.ts";
import { headerChanges } from "./header-changes.ts";
import type { RankedMatch } from "./matches.ts";
import { mirrorOf } from "./mirror.ts";
import { redirectOf } from "./redirect.ts";
import { routeRetry } from "./retry.ts";
import { rewriteOf } from "./rewrite.ts";
import { routeFilterConfig } from "./route-filters.ts";
import { sessionConfig } from "./session-persistence.ts";

type Fields = Readonly<Record<string, unknown>>;
type ForwardInit = Init<typeof RouteActionSchema>;
type WeightedInit = Init<typeof WeightedCluster_ClusterWeightSchema>;

/** What a rule answers that cannot be carried out as written: nobody should mistake it for one that works. */
export const INTERNAL_ERROR: Pick<RouteInit, "action"> = {
  action: { case: "directResponse", value: { status: 500 } },
};

export interface RuleExtras {
  /** Set for a rule that answers itself. */
  readonly answer?: (match: RankedMatch) => Pick<RouteInit, "action">;
  readonly headers: Pick<
    RouteInit,
    "requestHeadersToAdd" | "requestHeadersToRemove" | "responseHeadersToAdd" | "responseHeadersToRemove"
  >;
  readonly perFilter: Pick<RouteInit, "typedPerFilterConfig">;
  /** 0: none. */
  readonly timeoutMs: number;
  readonly subUnits: readonly string[];
  forwarding(match: RankedMatch): Partial<ForwardInit>;
  ofBackend(ref: Fields): Partial<WeightedInit>;
}

export const KNOWN_FILTERS: ReadonlySet<string> = new Set([
  "RequestHeaderModifier",
  "ResponseHeaderModifier",
  "RequestRedirect",
  "URLRewrite",
  "RequestMirror",
  "CORS",
]);

/** @param guards  per-route configuration of policies attached to the rule */
export function ruleExtras(
  context: BackendContext,
  rule: Fields,
  identity: RouteIdentity,
  guards: readonly (readonly [string, Any])[],
): RuleExtras {
  const filters = recordsAt(rule, "filters");
  const timeouts = isRecord(rule["timeouts"]) ? rule["timeouts"] : {};
  const requestMs = milliseconds(timeouts["request"]) ?? 0;
  const backendMs = milliseconds(timeouts["backendRequest"]) ?? 0;
  const hasRetry = isRecord(rule["retry"]);
  const mirrors = filters
    .filter(({ type }) => type === "RequestMirror")
    .map((each) => mirrorOf(each["requestMirror"], (ref) => backendOf(context, ref, identity)));
  const cors = filters.find(({ type }) => type === "CORS");
  return {
    ...answerOf(filters),
    headers: headerChanges(filters),
    perFilter: routeFilterConfig(cors && corsOf(cors["cors"]), undefined, [...guards, ...sessionConfig(rule)]),
    // Without retries a try is the whole request.
    timeoutMs: requestMs > 0 ? requestMs : hasRetry ? 0 : backendMs,
    subUnits: mirrors.flatMap(({ subUnits }) => subUnits),
    forwarding: (match) => ({
      ...rewriteOf(filters.find(({ type }) => type === "URLRewrite")?.["urlRewrite"], match),
      requestMirrorPolicies: mirrors.flatMap(({ policy }) => policy ?? []),
      ...routeRetry(rule["retry"], backendMs),
    }),
    ofBackend: backendExtras,
  };
}

/** A filter that is not known may not be passed over: what it was to do would be missing. */
function answerOf(filters: readonly Fields[]): Pick<RuleExtras, "answer"> {
  if (filters.some((each) => !KNOWN_FILTERS.has(textAt(each, "type")))) return { answer: () => INTERNAL_ERROR };
  const redirect = filters.find(({ type }) => type === "RequestRedirect");
  return redirect ? { answer: (match) => redirectOf(redirect["requestRedirect"], match) } : {};
}

/** Filters of one backend: headers and host; others are refused by the route's status. */
function backendExtras(ref: Fields): Partial<WeightedInit> {
  const filters = recordsAt(ref, "filters");
  if (filters.length === 0) return {};
  const host = filters
    .map((each) => (isRecord(each["urlRewrite"]) ? textAt(each["urlRewrite"], "hostname") : ""))
    .find((each) => each !== "");
  return {
    ...headerChanges(filters),
    ...(host !== undefined && { hostRewriteSpecifier: { case: "hostRewriteLiteral", value: host } }),
  };
}
