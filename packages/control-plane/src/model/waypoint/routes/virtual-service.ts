/** HTTP routes of VirtualServices as Envoy's. Spec: Istio VirtualService. */
import type { RouteActionSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { isRecord, type KubeObject, namespaceOf, recordAt, recordsAt, textAt } from "@ambit/shared/kube";
import type { ServiceFront } from "../derived-facts.ts";
import { policyOf, ruleFor } from "../destination-rule.ts";
import { weightOf } from "../numbers.ts";
import { isSubstitution } from "../pattern.ts";
import { duration, type Init } from "../proto.ts";
import { milliseconds } from "../time.ts";
import type { Backend, BackendContext } from "./backends.ts";
import type { RouteInit } from "./default-route.ts";
import { destinationOf } from "./destinations.ts";
import { hashPolicies } from "./hash-policies.ts";
import type { CompiledRoutes } from "./http-route.ts";
import type { RankedMatch } from "./matches.ts";
import { MILLION, mirrorTo } from "./mirror.ts";
import { routeFilterConfig } from "./route-filters.ts";
import { corsPolicyOf, directResponseOf, faultOf, headersOf, redirectOf, retriesOf } from "./virtual-actions.ts";
import { virtualMatches } from "./virtual-matches.ts";

type Fields = Readonly<Record<string, unknown>>;
type ForwardInit = Init<typeof RouteActionSchema>;

/** @param virtualServices  those for the host, in the order in which they count; rules of one keep their order */
export function compileVirtualServices(
  context: BackendContext,
  front: ServiceFront,
  port: number,
  virtualServices: readonly KubeObject[],
): CompiledRoutes {
  const subUnits: string[] = [];
  const routes = virtualServices.flatMap((object) =>
    recordsAt(object.spec, "http").flatMap((rule) => {
      const compiled = compileRule({ context, front, port, object }, rule);
      subUnits.push(...compiled.subUnits);
      return compiled.routes;
    }),
  );
  return { routes, subUnits };
}

interface RuleContext {
  readonly context: BackendContext;
  readonly front: ServiceFront;
  readonly port: number;
  readonly object: KubeObject;
}

interface Destination {
  readonly backend: Backend;
  readonly weight: number;
  readonly fields: Fields;
}

function compileRule(rule: RuleContext, fields: Fields): CompiledRoutes {
  const { context, port } = rule;
  const namespace = context.gateway.split("/")[0] ?? "";
  const destinations = destinationsOf(rule, fields);
  const mirrors = mirrorsOf(rule, fields);
  const filters = routeFilterConfig(corsPolicyOf(fields["corsPolicy"]), faultOf(fields["fault"]));
  const name = textAt(fields, "name") || "default";
  const { hostRewrite, ...changes } = headersOf(fields["headers"]);
  const routes = virtualMatches(fields, { port, namespace }).map((match): RouteInit => {
    const answer = redirectOf(fields["redirect"], port) ?? directResponseOf(fields["directResponse"]);
    return {
      name,
      match: match.match,
      ...(answer ?? forward(rule, fields, { destinations, mirrors, match, hostRewrite })),
      ...changes,
      ...filters,
      decorator: { operation: operationOf(rule, destinations, match) },
    };
  });
  return {
    routes,
    subUnits: [...destinations.flatMap(({ backend }) => backend.subUnits), ...mirrors.flatMap((each) => each.subUnits)],
  };
}

function destinationsOf({ context, object, port }: RuleContext, fields: Fields): readonly Destination[] {
  const list = recordsAt(fields, "route");
  return list.map((each) => {
    const { weight } = each;
    return {
      backend: destinationOf(context, each["destination"], object, port),
      weight: weightOf(weight) ?? (list.length === 1 ? 100 : 0),
      fields: each,
    };
  });
}

function mirrorsOf({ context, object, port }: RuleContext, fields: Fields) {
  const single = isRecord(fields["mirror"])
    ? [{ destination: fields["mirror"], percentage: fields["mirrorPercentage"] }]
    : [];
  const several = recordsAt(fields, "mirrors");
  return (several.length > 0 ? several : single).map((each) => {
    const share = recordAt(each as Fields, "percentage")["value"];
    const perMillion = typeof share === "number" ? share * 10_000 : MILLION;
    return mirrorTo(destinationOf(context, each["destination"], object, port), perMillion);
  });
}

interface ForwardParts {
  readonly destinations: readonly Destination[];
  readonly mirrors: readonly ReturnType<typeof mirrorTo>[];
  readonly match: RankedMatch;
  readonly hostRewrite: string | undefined;
}

function forward(
  rule: RuleContext,
  fields: Fields,
  { destinations, mirrors, match, hostRewrite }: ForwardParts,
): Pick<RouteInit, "action"> {
  const used = destinations.filter(({ weight }) => weight > 0);
  const [only] = used;
  if (!only) return { action: { case: "directResponse", value: { status: 500 } } };
  const timeoutMs = milliseconds(fields["timeout"]) ?? 0;
  const hashes = used.flatMap((each) => hashesOf(rule, each));
  const value: ForwardInit = {
    clusterSpecifier: used.length === 1 ? { case: "cluster", value: only.backend.cluster } : weightedClusters(used),
    timeout: duration(timeoutMs),
    maxGrpcTimeout: duration(timeoutMs),
    requestMirrorPolicies: mirrors.flatMap(({ policy }) => policy ?? []),
    hashPolicy: hashes,
    ...retriesOf(fields["retries"], hashes.length > 0 && used.length === 1),
    ...(hostRewrite !== undefined && { hostRewriteSpecifier: { case: "hostRewriteLiteral", value: hostRewrite } }),
    ...rewriteOf(fields["rewrite"], match),
  };
  // One destination's own headers have no place in a plain cluster: it is a split of one.
  const own = used.length === 1 && isRecord(only.fields["headers"]);
  return { action: { case: "route", value: own ? { ...value, clusterSpecifier: weightedClusters(used) } : value } };
}

const weightedClusters = (used: readonly Destination[]): NonNullable<ForwardInit["clusterSpecifier"]> => ({
  case: "weightedClusters",
  value: {
    clusters: used.map(({ backend, weight, fields }) => {
      const { hostRewrite, ...changes } = headersOf(fields["headers"]);
      return {
        name: backend.cluster,
        weight,
        ...changes,
        ...(hostRewrite !== undefined && {
          hostRewriteSpecifier: { case: "hostRewriteLiteral" as const, value: hostRewrite },
        }),
      };
    }),
  },
});

function hashesOf({ context, front, port }: RuleContext, { backend, fields }: Destination) {
  const target = backend.front ?? front;
  const rule = ruleFor(context, target);
  const given = recordAt(recordAt(fields, "destination"), "port")["number"];
  const subset = textAt(recordAt(fields, "destination"), "subset");
  return hashPolicies(recordAt(policyOf(rule, typeof given === "number" ? given : port, subset), "loadBalancer"));
}

function rewriteOf(rewrite: unknown, { match }: RankedMatch): Partial<ForwardInit> {
  if (!isRecord(rewrite)) return {};
  const authority = textAt(rewrite, "authority");
  const uri = textAt(rewrite, "uri");
  const pattern = recordAt(rewrite, "uriRegexRewrite");
  const host: Partial<ForwardInit> =
    authority === "" ? {} : { hostRewriteSpecifier: { case: "hostRewriteLiteral", value: authority } };
  if (isSubstitution(textAt(pattern, "match"), textAt(pattern, "rewrite"))) {
    const regexRewrite = { pattern: { regex: textAt(pattern, "match") }, substitution: textAt(pattern, "rewrite") };
    return { ...host, regexRewrite };
  }
  if (uri === "") return host;
  // Of a pattern the whole match is replaced, so it is written as one.
  if (match.pathSpecifier?.case === "safeRegex") {
    return { ...host, regexRewrite: { pattern: { regex: "/.*" }, substitution: uri.replaceAll("\\", "\\\\") } };
  }
  return { ...host, prefixRewrite: uri };
}

function operationOf(
  { object, front, port }: RuleContext,
  destinations: readonly Destination[],
  match: RankedMatch,
): string {
  const [only] = destinations;
  const target = destinations.length === 1 ? only?.backend.front : undefined;
  return target
    ? `${target.hostname}:${port}${match.path}*`
    : `${object.metadata.name}~${namespaceOf(object)}~${front.hostname}:${port}${match.path}*`;
}
