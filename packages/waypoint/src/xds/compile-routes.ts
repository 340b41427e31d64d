/** Route configurations, inline ones and those of RDS alike. Spec: envoy.config.route.v3.RouteConfiguration */
import { type RouteConfiguration, RouteConfigurationSchema } from "@ambit/envoy-api/envoy/config/route/v3/route";
import {
  type Route as RouteMessage,
  type VirtualHost as VirtualHostMessage,
  VirtualHostSchema,
} from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import type { RouteRules } from "../policy/model.ts";
import { asciiLowerCase } from "../route/matcher.ts";
import type { HeaderMutations, HeaderOperations, Route, RouteTable, VirtualHost } from "../route/model.ts";
import { compileHeaderMutations } from "./compile-header-operations.ts";
import { compilePerFilter, type PerFilter } from "./compile-per-filter.ts";
import { compileRouteAction, type RouteDefaults } from "./compile-route-action.ts";
import { compileRouteMatch } from "./compile-route-match.ts";
import { compileRouteTree } from "./compile-route-tree.ts";
import type { CompileContext } from "./context.ts";
import { at, each, InvalidField } from "./invalid-field.ts";
import { noteUnused } from "./note-unused.ts";

/** @param above  what the chain's own filters say to all its routes */
export function compileRoutes(message: RouteConfiguration, above: PerFilter, context: CompileContext): RouteTable {
  if (message.vhds) throw new InvalidField("expected virtual hosts in the configuration", "vhds");
  noteUnused(RouteConfigurationSchema, message, context);
  const perFilter = compilePerFilter(message.typedPerFilterConfig, above, context);
  const headers = compileHeaderMutations(message);
  const virtualHosts = each("virtual_hosts", message.virtualHosts, (virtualHost) =>
    compileVirtualHost(virtualHost, { perFilter, headers, mirrors: message.requestMirrorPolicies }, context),
  );
  const domains = virtualHosts.flatMap((virtualHost) => virtualHost.domains);
  const repeated = domains.find((domain, index) => domains.indexOf(domain) !== index);
  if (repeated !== undefined)
    throw new InvalidField(`virtual_hosts: expected each domain once, got "${repeated}" again`);
  return { name: message.name, virtualHosts };
}

interface TableDefaults {
  readonly perFilter: PerFilter;
  readonly headers: HeaderMutations;
  readonly mirrors: RouteDefaults["mirrors"];
}

function compileVirtualHost(message: VirtualHostMessage, table: TableDefaults, context: CompileContext): VirtualHost {
  const { matcher } = message;
  if (matcher && message.routes.length > 0) throw new InvalidField("matcher: expected none beside routes");
  if (message.requireTls !== 0) throw new InvalidField("require_tls: expected none, callers come through mTLS tunnels");
  if (message.rateLimits.length > 0) context.note("rate_limits of a virtual host have no effect");
  noteUnused(VirtualHostSchema, message, context);
  const perFilter = compilePerFilter(message.typedPerFilterConfig, table.perFilter, context);
  const mirrors = message.requestMirrorPolicies.length > 0 ? message.requestMirrorPolicies : table.mirrors;
  const toRoute = (route: RouteMessage): Route =>
    compileRoute(route, perFilter, { retry: message.retryPolicy, mirrors }, context);
  return {
    name: message.name,
    domains: each("domains", message.domains, compileDomain),
    routes: each("routes", message.routes, toRoute),
    ...(matcher && { tree: at("matcher", () => compileRouteTree(matcher, toRoute)) }),
    headers: joinMutations(compileHeaderMutations(message), table.headers),
  };
}

function compileDomain(text: string): string {
  const domain = asciiLowerCase(text);
  if (domain === "" || /[^!-~]/.test(domain) || domain.slice(1, -1).includes("*") || domain === "**") {
    throw new InvalidField(`expected a name, "*" or one "*" at an end, got "${text.slice(0, 200)}"`);
  }
  return domain;
}

function compileRoute(
  message: RouteMessage,
  above: PerFilter,
  defaults: RouteDefaults,
  context: CompileContext,
): Route {
  const perFilter = compilePerFilter(message.typedPerFilterConfig, above, context);
  return {
    name: message.name,
    match: at("match", () => compileRouteMatch(message.match)),
    action: compileRouteAction(message, defaults, context),
    headers: compileHeaderMutations(message),
    cors: perFilter.cors,
    fault: perFilter.fault,
    ...(perFilter.session && { session: perFilter.session }),
    authorization: routeRules(perFilter),
    operation: message.decorator?.operation || message.name,
  };
}

const routeRules = ({ rules }: PerFilter): RouteRules | undefined =>
  rules.size === 0 ? undefined : { replaced: new Set(rules.keys()), rules: [...rules.values()].flat() };

const joinMutations = (inner: HeaderMutations, outer: HeaderMutations): HeaderMutations => ({
  request: joinOperations(inner.request, outer.request),
  response: joinOperations(inner.response, outer.response),
});

/**
 * Two levels as one. The outer one's removals come after the inner one's additions, so what it removes the inner one
 * does not add, and what it sets is set last.
 */
function joinOperations(inner: HeaderOperations, outer: HeaderOperations): HeaderOperations {
  const overruled = new Set([...outer.remove, ...outer.set.map(({ name }) => name)]);
  return {
    remove: [...inner.remove, ...outer.remove],
    set: [...inner.set.filter(({ name }) => !overruled.has(name)), ...outer.set],
    append: [...inner.append.filter(({ name }) => !overruled.has(name)), ...outer.append],
  };
}
