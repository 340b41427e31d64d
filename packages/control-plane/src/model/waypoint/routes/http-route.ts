/** HTTPRoutes and GRPCRoutes of one service port as Envoy routes. Pure and total. */
import { RouteAction_ClusterNotFoundResponseCode as NotFoundCode } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { byAge, type KubeObject, namespaceOf, recordAt, recordsAt, textAt } from "@ambit/shared/kube";
import { policyOf, ruleFor } from "../destination-rule.ts";
import { trustDomainsOf } from "../policies/guards-of.ts";
import { routeRules } from "../policies/route-rules.ts";
import { duration } from "../proto.ts";
import type { Backend } from "./backends.ts";
import type { RouteInit } from "./default-route.ts";
import { hashPolicies } from "./hash-policies.ts";
import { INTERNAL_ERROR, ruleExtras } from "./http-filters.ts";
import { withLiftedFilters } from "./lifted-filters.ts";
import { byPrecedence, grpcMatch, httpMatch, matchesOf, type RankedMatch } from "./matches.ts";
import { mirrorIdentity, type RouteOnPort, ruleBackends, type WeightedBackend } from "./rule-backends.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface CompiledRoutes {
  readonly routes: readonly RouteInit[];
  readonly subUnits: readonly string[];
}

interface Ranked {
  readonly match: RankedMatch;
  readonly route: RouteInit;
}

/** @param routes  all of those attached to the port, in any order */
export function compileHttpRoutes(on: Omit<RouteOnPort, "route">, routes: readonly KubeObject[]): CompiledRoutes {
  const subUnits: string[] = [];
  const ranked = [...routes].sort(byAge).flatMap((route) =>
    recordsAt(route.spec, "rules").flatMap((rule, index) => {
      const compiled = compileRule({ ...on, route }, withLiftedFilters(rule), index);
      subUnits.push(...compiled.subUnits);
      return compiled.ranked;
    }),
  );
  // A stable sort: of equals, the older route's earlier rule stays in front.
  const sorted = [...ranked].sort((a, b) => byPrecedence(a.match.rank, b.match.rank));
  return { routes: sorted.map(({ route }) => route), subUnits };
}

function compileRule(
  context: RouteOnPort,
  rule: Fields,
  index: number,
): { readonly ranked: readonly Ranked[]; readonly subUnits: readonly string[] } {
  const { route } = context;
  const backends = ruleBackends(context, rule);
  const guards = routeRules(context.backends.reader, route, textAt(rule, "name"), {
    namespace: namespaceOf(route),
    trustDomains: trustDomainsOf(context.backends.reader, context.backends.mesh),
  });
  const extras = ruleExtras(context.backends, rule, mirrorIdentity(context), guards);
  const hashes = backends.flatMap(({ backend, ref }) => hashesOf(context, backend, ref));
  const name = `${namespaceOf(route)}.${route.metadata.name}.${textAt(rule, "name") || index}`;
  const matches = matchesOf(rule, route.kind === "GRPCRoute" ? grpcMatch : httpMatch);
  const ranked = matches.flatMap((match): Ranked[] => {
    // A match that is not understood may not catch what it was not meant for; it catches nothing.
    if (!match) return [];
    const action = extras.answer?.(match) ?? forward(backends, extras, match, hashes);
    const operation = operationOf(context, backends, match);
    return [
      {
        match,
        route: {
          name,
          match: match.match,
          ...action,
          ...extras.headers,
          ...extras.perFilter,
          decorator: { operation },
        },
      },
    ];
  });
  return { ranked, subUnits: [...backends.flatMap(({ backend }) => backend.subUnits), ...extras.subUnits] };
}

/** Of what the backends' DestinationRules hash requests by. */
function hashesOf({ backends }: RouteOnPort, { front }: Backend, ref: Fields) {
  if (!front) return [];
  const policy = policyOf(ruleFor(backends, front), Number(ref["port"]));
  return hashPolicies(recordAt(policy, "loadBalancer"));
}

function forward(
  backends: readonly WeightedBackend[],
  extras: ReturnType<typeof ruleExtras>,
  match: RankedMatch,
  hashes: ReturnType<typeof hashPolicies>,
): Pick<RouteInit, "action"> {
  const used = backends.filter(({ weight }) => weight > 0);
  const [only] = used;
  if (!only) return INTERNAL_ERROR;
  const clusters = used.map(({ backend, weight, ref }) => ({
    name: backend.cluster,
    weight,
    ...extras.ofBackend(ref),
  }));
  const isSimple = clusters.length === 1 && Object.keys(extras.ofBackend(only.ref)).length === 0;
  return {
    action: {
      case: "route",
      value: {
        clusterSpecifier: isSimple
          ? { case: "cluster", value: only.backend.cluster }
          : { case: "weightedClusters", value: { clusters } },
        clusterNotFoundResponseCode: NotFoundCode.INTERNAL_SERVER_ERROR,
        timeout: duration(extras.timeoutMs),
        maxGrpcTimeout: duration(extras.timeoutMs),
        hashPolicy: [...hashes],
        ...extras.forwarding(match),
      },
    },
  };
}

/** Spans are called after where a request goes, or after the route that decides. */
function operationOf(
  { front, port: { port }, route }: RouteOnPort,
  backends: readonly WeightedBackend[],
  match: RankedMatch,
): string {
  const [only] = backends;
  const to =
    backends.length === 1 && only?.backend.front
      ? `${only.backend.front.hostname}:${Number(only.ref["port"] ?? port)}`
      : `${route.metadata.name}~${front.hostname}:${port}`;
  return `${to}${match.path}*`;
}
