/** What a route does. Spec: envoy.config.route.v3.Route */
import {
  type WeightedCluster_ClusterWeight as ClusterWeight,
  RedirectAction_RedirectResponseCode as Code,
  type DirectResponseAction,
  type RouteAction as ForwardMessage,
  type RouteAction_HashPolicy as HashMessage,
  type RouteAction_RequestMirrorPolicy as MirrorMessage,
  RouteAction_ClusterNotFoundResponseCode as NotFound,
  type RedirectAction as RedirectMessage,
  type RetryPolicy as RetryMessage,
  RouteActionSchema,
  type Route as RouteMessage,
} from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import type { RegexMatchAndSubstitute } from "@ambit/envoy-api/envoy/type/matcher/v3/regex";
import { asciiLowerCase } from "../route/matcher.ts";
import {
  type DirectAction,
  type ForwardAction,
  type HashPolicy,
  NO_MUTATIONS,
  type RedirectAction,
  type RouteAction,
  type WeightedCluster,
} from "../route/model.ts";
import { normalizeAuthority } from "../route/normalize-authority.ts";
import { compilePattern } from "../route/pattern.ts";
import { compileHeaderMutations } from "./compile-header-operations.ts";
import { compileRetry } from "./compile-retry.ts";
import type { CompileContext } from "./context.ts";
import { at, each, InvalidField, must, Unenforceable } from "./invalid-field.ts";
import { noteUnused } from "./note-unused.ts";
import { durationMs, durationOr, perMillion } from "./values.ts";

/** What a virtual host says for routes that say nothing themselves. */
export interface RouteDefaults {
  readonly retry: RetryMessage | undefined;
  readonly mirrors: readonly MirrorMessage[];
}

export function compileRouteAction(route: RouteMessage, defaults: RouteDefaults, context: CompileContext): RouteAction {
  const { action } = route;
  switch (action.case) {
    case "route":
      return at("route", () => compileForward(action.value, defaults, context));
    case "redirect":
      return at("redirect", () => compileRedirect(action.value));
    case "directResponse":
      return at("direct_response", () => compileDirect(action.value));
    case undefined:
      // What istiod leaves of a redirect with a code that Envoy does not know.
      context.note(`route "${route.name}" has no action and answers 500`);
      return { kind: "direct", status: 500, body: Buffer.alloc(0) };
    default:
      throw new InvalidField(`expected route, redirect or direct_response, got ${action.case}`);
  }
}

/** Envoy's, for a route that does not say; istiod always does. */
const DEFAULT_TIMEOUT_MS = 15_000;

function compileForward(message: ForwardMessage, defaults: RouteDefaults, context: CompileContext): ForwardAction {
  refuseUnsupported(message);
  if (message.rateLimits.length > 0) context.note("rate_limits of a route have no effect");
  if (message.upgradeConfigs.length > 0) context.note("upgrade_configs of a route have no effect, the chain's have");
  if (message.maxStreamDuration?.maxStreamDuration) context.note("max_stream_duration of a route has no effect");
  noteUnused(RouteActionSchema, message, context);
  const retry = message.retryPolicy ?? defaults.retry;
  const mirrors = message.requestMirrorPolicies.length > 0 ? message.requestMirrorPolicies : defaults.mirrors;
  const grpcCap = message.maxGrpcTimeout ?? message.maxStreamDuration?.grpcTimeoutHeaderMax;
  return {
    kind: "forward",
    clusters: at("cluster", () => compileClusters(message)),
    missingClusterStatus: MISSING_CLUSTER[message.clusterNotFoundResponseCode as keyof typeof MISSING_CLUSTER] ?? 503,
    timeoutMs: at("timeout", () => durationOr(message.timeout, DEFAULT_TIMEOUT_MS)),
    maximumGrpcTimeoutMs: grpcCap && at("max_grpc_timeout", () => durationMs(grpcCap)),
    retry: retry && at("retry_policy", () => compileRetry(retry)),
    rewrite: compileRewrite(message),
    mirrors: each("request_mirror_policies", mirrors, compileMirror).filter((mirror) => mirror.fractionPerMillion > 0),
    hashPolicies: each("hash_policy", message.hashPolicy, (policy) => compileHash(policy, context)).flat(),
  };
}

const MISSING_CLUSTER = {
  [NotFound.SERVICE_UNAVAILABLE]: 503,
  [NotFound.NOT_FOUND]: 404,
  [NotFound.INTERNAL_SERVER_ERROR]: 500,
} as const;

/** Fields that change where a request goes; without them it would go to the wrong place. */
function refuseUnsupported(message: ForwardMessage): void {
  if (message.metadataMatch)
    throw new InvalidField("expected none; subsets are clusters of their own", "metadata_match");
  if (message.pathRewritePolicy)
    throw new InvalidField("expected prefix_rewrite or regex_rewrite", "path_rewrite_policy");
  const host = message.hostRewriteSpecifier;
  if (host.case !== undefined && host.case !== "hostRewriteLiteral") {
    throw new InvalidField(`expected host_rewrite_literal, got ${host.case}`);
  }
}

function compileClusters({ clusterSpecifier: specifier }: ForwardMessage): readonly WeightedCluster[] {
  if (specifier.case === "cluster" && specifier.value !== "") {
    return [{ name: specifier.value, weight: 1, headers: NO_MUTATIONS, hostRewrite: undefined }];
  }
  if (specifier.case !== "weightedClusters") {
    throw new InvalidField(`expected cluster or weighted_clusters, got ${specifier.case ?? "none"}`);
  }
  const clusters = each("clusters", specifier.value.clusters, compileWeighted).filter(({ weight }) => weight > 0);
  if (clusters.length === 0) throw new InvalidField("expected weights that add up to more than 0");
  return clusters;
}

function compileWeighted(message: ClusterWeight): WeightedCluster {
  if (message.name === "") throw new InvalidField("expected a name");
  if (message.metadataMatch) throw new InvalidField("metadata_match: expected none; subsets are clusters of their own");
  const guarded = Object.keys(message.typedPerFilterConfig)[0];
  if (guarded !== undefined)
    throw new Unenforceable(`typed_per_filter_config: expected none for a cluster, got "${guarded}"`);
  const host = message.hostRewriteSpecifier.value;
  return {
    name: message.name,
    weight: message.weight ?? 0,
    headers: compileHeaderMutations(message),
    hostRewrite: host ? hostText(host) : undefined,
  };
}

function compileRewrite(message: ForwardMessage): ForwardAction["rewrite"] {
  const host = message.hostRewriteSpecifier.case === "hostRewriteLiteral" ? message.hostRewriteSpecifier.value : "";
  const { regexRewrite } = message;
  return {
    prefix: message.prefixRewrite === "" ? undefined : at("prefix_rewrite", () => pathText(message.prefixRewrite)),
    pattern: regexRewrite && { replace: at("regex_rewrite", () => compileReplacer(regexRewrite)) },
    host: host === "" ? undefined : at("host_rewrite_literal", () => hostText(host)),
    appendsForwardedHost: message.appendXForwardedHost,
  };
}

function compileReplacer({ pattern, substitution }: RegexMatchAndSubstitute): (path: string) => string {
  return must(must(compilePattern(pattern?.regex ?? "")).replacer(pathText(substitution)));
}

/** Text that becomes part of a request line or a Location. */
function pathText(text: string): string {
  if (/[^!-~]/.test(text)) throw new InvalidField("expected printable ASCII without blanks");
  return text;
}

/** As the configuration has it: the port of a rewritten host is kept, and so is its case. */
function hostText(text: string): string {
  must(normalizeAuthority(text, ""));
  return text;
}

function compileMirror(message: MirrorMessage): ForwardAction["mirrors"][number] {
  if (message.cluster === "") throw new InvalidField("expected a cluster");
  const fraction = message.runtimeFraction?.defaultValue;
  return {
    cluster: message.cluster,
    fractionPerMillion: fraction ? at("runtime_fraction", () => perMillion(fraction)) : 1_000_000,
  };
}

function compileHash(
  { policySpecifier: policy, terminal }: HashMessage,
  context: CompileContext,
): readonly HashPolicy[] {
  switch (policy.case) {
    case "header":
      if (policy.value.regexRewrite) throw new InvalidField("header.regex_rewrite: expected none");
      return [{ kind: "header", name: asciiLowerCase(policy.value.headerName), terminal }];
    case "cookie": {
      const { name, ttl, path, attributes } = policy.value;
      for (const text of [name, path, ...attributes.flatMap((one) => [one.name, one.value])]) cookieText(text);
      const ttlSeconds = ttl && Math.floor(durationMs(ttl) / 1000);
      return [
        {
          kind: "cookie",
          name,
          ttlSeconds,
          path,
          attributes: attributes.map((one) => ({ name: one.name, value: one.value })),
          terminal,
        },
      ];
    }
    case "connectionProperties":
      return policy.value.sourceIp ? [{ kind: "source-ip", terminal }] : [];
    case "queryParameter":
      return [{ kind: "query", name: policy.value.name, terminal }];
    default:
      context.note(`hash_policy ${policy.case ?? "without a specifier"} has no effect`);
      return [];
  }
}

function cookieText(text: string): void {
  if (/[^ -~]|[;,"]/.test(text)) throw new InvalidField(`cookie: expected printable text without ";", "," or quotes`);
}

function compileRedirect(message: RedirectMessage): RedirectAction {
  const scheme = message.schemeRewriteSpecifier;
  if (message.portRedirect > 65535)
    throw new InvalidField(`port_redirect: expected at most 65535, got ${message.portRedirect}`);
  return {
    kind: "redirect",
    status: REDIRECT_STATUS[message.responseCode as keyof typeof REDIRECT_STATUS] ?? 301,
    scheme: scheme.case === "httpsRedirect" ? (scheme.value ? "https" : undefined) : schemeText(scheme.value),
    host: message.hostRedirect === "" ? undefined : at("host_redirect", () => hostText(message.hostRedirect)),
    port: message.portRedirect === 0 ? undefined : message.portRedirect,
    path: compileRedirectPath(message),
    stripsQuery: message.stripQuery,
  };
}

const REDIRECT_STATUS = {
  [Code.MOVED_PERMANENTLY]: 301,
  [Code.FOUND]: 302,
  [Code.SEE_OTHER]: 303,
  [Code.TEMPORARY_REDIRECT]: 307,
  [Code.PERMANENT_REDIRECT]: 308,
} as const;

function schemeText(text: string | undefined): string | undefined {
  if (text === undefined || text === "") return undefined;
  if (!/^[A-Za-z][A-Za-z0-9+\-.]{0,31}$/.test(text)) throw new InvalidField("scheme_redirect: expected a scheme");
  return text.toLowerCase();
}

function compileRedirectPath({ pathRewriteSpecifier: path }: RedirectMessage): RedirectAction["path"] {
  switch (path.case) {
    case "pathRedirect":
      return { kind: "full", path: at("path_redirect", () => pathText(path.value)) };
    case "prefixRewrite":
      return { kind: "prefix", prefix: at("prefix_rewrite", () => pathText(path.value)) };
    case "regexRewrite":
      return { kind: "pattern", replace: at("regex_rewrite", () => compileReplacer(path.value)) };
    default:
      return undefined;
  }
}

/** Parity: Envoy with the max_direct_response_body_size_bytes that istiod sets. */
const MAX_DIRECT_BODY = 1024 * 1024;

function compileDirect({ status, body }: DirectResponseAction): DirectAction {
  if (!(status >= 200 && status <= 599)) throw new InvalidField(`status: expected 200 to 599, got ${status}`);
  const source = body?.specifier;
  if (source?.case === "filename" || source?.case === "environmentVariable") {
    throw new InvalidField(`body: expected inline text or bytes, got ${source.case}`);
  }
  const bytes = Buffer.from(source?.value ?? "");
  if (bytes.length > MAX_DIRECT_BODY)
    throw new InvalidField(`body: expected at most ${MAX_DIRECT_BODY} bytes, got ${bytes.length}`);
  return { kind: "direct", status, body: bytes };
}
