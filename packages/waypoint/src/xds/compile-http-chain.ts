/** HTTP filter chains. Spec: envoy.extensions.filters.network.http_connection_manager.v3 */
import {
  HttpConnectionManager_ForwardClientCertDetails as ClientCert,
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
} from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import type { HttpChain, PathRules } from "../model/route-model.ts";
import type { ProxyHeaders } from "../observe/proxy-headers.ts";
import type { RouteTable } from "../route/model.ts";
import { compileAccessLogs } from "./compile-access-logs.ts";
import { type CompiledFilters, compileHttpFilters } from "./compile-http-filters.ts";
import { compileTracing } from "./compile-observability.ts";
import { NOTHING_PER_FILTER } from "./compile-per-filter.ts";
import { compileRoutes } from "./compile-routes.ts";
import type { CompileContext } from "./context.ts";
import { at, InvalidField, Unenforceable } from "./invalid-field.ts";
import { noteUnused } from "./note-unused.ts";
import { durationOr } from "./values.ts";

/** Everything but what other resources say: the routes when they come by RDS, the service's name and namespace. */
export interface HttpChainDraft {
  readonly chain: Omit<HttpChain, "service">;
  /** Name of the RDS resource, when the routes are there. */
  readonly rds: string | undefined;
}

/** Envoy's stream_idle_timeout. */
const DEFAULT_STREAM_IDLE_MS = 300_000;

export function compileHttpChain(
  name: string,
  manager: HttpConnectionManager,
  context: CompileContext,
): HttpChainDraft {
  refuseUnsupported(manager);
  noteUnused(HttpConnectionManagerSchema, manager, context);
  const filters = at("http_filters", () => compileHttpFilters(manager.httpFilters, context));
  const { routes, rds } = compileRouteSource(manager, filters, context);
  const chain: HttpChainDraft["chain"] = {
    kind: "http",
    name,
    path: pathRules(manager, context),
    streamIdleTimeoutMs: at("stream_idle_timeout", () => durationOr(manager.streamIdleTimeout, DEFAULT_STREAM_IDLE_MS)),
    acceptsHttp10: manager.httpProtocolOptions?.acceptHttp10 ?? false,
    upgrades: manager.upgradeConfigs
      .filter(({ enabled }) => enabled !== false)
      .map(({ upgradeType }) => upgradeType.toLowerCase()),
    forwardedClientCert: forwardedClientCert(manager, filters),
    proxyHeaders: proxyHeaders(manager, filters),
    translatesGrpcWeb: filters.translatesGrpcWeb,
    authentication: filters.authentication,
    authorization: { custom: filters.custom, rules: filters.rules },
    routes,
    tracing: compileTracing(manager.tracing, name, context),
    accessLog: at("access_log", () => compileAccessLogs(manager.accessLog, context)),
    telemetry: filters.telemetry,
    trustedHops: manager.xffNumTrustedHops,
  };
  return { chain, rds };
}

/** Fields that change whose address, or which path, the policies see. */
function refuseUnsupported(manager: HttpConnectionManager): void {
  if (manager.originalIpDetectionExtensions.length > 0) {
    throw new Unenforceable("expected none", "original_ip_detection_extensions");
  }
  if (manager.earlyHeaderMutationExtensions.length > 0) {
    throw new Unenforceable("expected none", "early_header_mutation_extensions");
  }
  if (manager.upgradeConfigs.some(({ filters }) => filters.length > 0)) {
    throw new Unenforceable("expected the chain's own filters for upgrades, too", "upgrade_configs");
  }
  if (manager.pathNormalizationOptions) {
    throw new Unenforceable("expected normalize_path and merge_slashes", "path_normalization_options");
  }
}

function compileRouteSource(
  manager: HttpConnectionManager,
  filters: CompiledFilters,
  context: CompileContext,
): { readonly routes: RouteTable; readonly rds: string | undefined } {
  const { routeSpecifier: source } = manager;
  switch (source.case) {
    case "routeConfig": {
      const above = { ...NOTHING_PER_FILTER, fault: filters.fault };
      return { routes: at("route_config", () => compileRoutes(source.value, above, context)), rds: undefined };
    }
    case "rds": {
      const name = source.value.routeConfigName;
      if (name === "") throw new InvalidField("expected a route_config_name", "rds");
      if (filters.fault) context.note("a fault on the chain has no effect on routes that come by RDS");
      return { routes: { name, virtualHosts: [] }, rds: name };
    }
    default:
      throw new InvalidField(`expected route_config or rds, got ${source.case ?? "none"}`, "route_specifier");
  }
}

function pathRules(manager: HttpConnectionManager, context: CompileContext): PathRules {
  const action = manager.pathWithEscapedSlashesAction;
  const unescapes = action === EscapedSlashes.UNESCAPE_AND_FORWARD;
  const rejects = action === EscapedSlashes.REJECT_REQUEST || action === EscapedSlashes.UNESCAPE_AND_REDIRECT;
  if (action === EscapedSlashes.UNESCAPE_AND_REDIRECT) context.note("escaped slashes are rejected, not redirected");
  const merged = unescapes ? "decode-and-merge-slashes" : "merge-slashes";
  // Merging alone is not one of Istio's modes; with the dots resolved as well, it is the safer neighbour.
  const normalization = manager.mergeSlashes ? merged : manager.normalizePath === true ? "base" : "none";
  return { normalization, escapedSlashes: rejects ? "reject" : unescapes ? "unescape-and-forward" : "keep" };
}

/** Envoy's own name, and Istio's. */
const OWN_NAMES: ReadonlySet<string> = new Set(["", "envoy", "istio-envoy"]);

/** Differs: an answer keeps the application's `server` unless the configuration asks for a name of somebody's choice. */
function proxyHeaders(
  { serverName, serverHeaderTransformation, generateRequestId, appendXForwardedPort }: HttpConnectionManager,
  { hidesEnvoyHeaders }: CompiledFilters,
): ProxyHeaders {
  const overwrites = serverHeaderTransformation === ServerHeader.OVERWRITE && !OWN_NAMES.has(serverName);
  return {
    server: overwrites ? serverName : undefined,
    givesRequestId: generateRequestId ?? true,
    tellsServiceTime: !hidesEnvoyHeaders,
    tellsPort: appendXForwardedPort,
  };
}

function forwardedClientCert(
  manager: HttpConnectionManager,
  filters: CompiledFilters,
): HttpChain["forwardedClientCert"] {
  if (filters.setsClientCert) return "replace-with-peer";
  switch (manager.forwardClientCertDetails) {
    case ClientCert.SANITIZE:
      return "sanitize";
    case ClientCert.FORWARD_ONLY:
    case ClientCert.ALWAYS_FORWARD_ONLY:
      return "forward";
    default:
      // Appending to what the application may have made up would lend it our word.
      return "replace-with-peer";
  }
}
