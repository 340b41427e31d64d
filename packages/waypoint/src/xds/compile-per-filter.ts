/** `typed_per_filter_config`: what a route, a virtual host or a table says to the filters of its chain. */
import { FilterConfigSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import {
  type CorsPolicy as CorsMessage,
  CorsPolicySchema,
} from "@ambit/envoy-api/envoy/extensions/filters/http/cors/v3/cors";
import { type HTTPFault, HTTPFaultSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/fault/v3/fault";
import { RBACPerRouteSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { StatefulSessionPerRouteSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/stateful_session/v3/stateful_session";
import { CookieBasedSessionStateSchema as CookieSchema } from "@ambit/envoy-api/envoy/extensions/http/stateful_session/cookie/v3/cookie";
import { HeaderBasedSessionStateSchema as HeaderSchema } from "@ambit/envoy-api/envoy/extensions/http/stateful_session/header/v3/header";
import { fromBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { TOKEN } from "../http/field-names.ts";
import type { RuleSet } from "../policy/model.ts";
import type { CorsPolicy, FaultPolicy } from "../route/model.ts";
import type { SessionPersistence } from "../route/session.ts";
import { wireText } from "../route/wire-text.ts";
import { compileWireMatcher } from "./compile-string-matcher.ts";
import type { CompileContext } from "./context.ts";
import { at, each, InvalidField, mustEnforce, Unenforceable } from "./invalid-field.ts";
import { durationMs, perMillion, typeNameOf } from "./values.ts";

/** Undefined = nothing said here; what the level above says holds. */
export interface PerFilter {
  readonly cors: CorsPolicy | undefined;
  readonly fault: FaultPolicy | undefined;
  readonly session?: SessionPersistence | undefined;
  /** By the name of the filter they are for. */
  readonly rules: ReadonlyMap<string, readonly RuleSet[]>;
}

export const NOTHING_PER_FILTER: PerFilter = { cors: undefined, fault: undefined, rules: new Map() };

/** @param above  what holds where this level is silent */
export function compilePerFilter(
  configs: Readonly<Record<string, Any>>,
  above: PerFilter,
  context: CompileContext,
): PerFilter {
  let known = above;
  for (const [filter, config] of Object.entries(configs)) {
    at(`typed_per_filter_config["${filter}"]`, () => {
      const { rules, ...said } = compileOne(config, context);
      known = { ...known, ...said, ...(rules ? { rules: new Map([...known.rules, [filter, rules]]) } : {}) };
    });
  }
  return known;
}

/** What one filter is told; rules are for that filter alone. */
type Said = Partial<Omit<PerFilter, "rules">> & { readonly rules?: readonly RuleSet[] };

function compileOne(config: Any, context: CompileContext): Said {
  const name = typeNameOf(config);
  switch (name) {
    case CorsPolicySchema.typeName:
      return { cors: compileCors(fromBinary(CorsPolicySchema, config.value)) };
    case HTTPFaultSchema.typeName:
      return { fault: compileFault(fromBinary(HTTPFaultSchema, config.value), context) };
    case StatefulSessionPerRouteSchema.typeName:
      return { session: compileSession(config, context) };
    case RBACPerRouteSchema.typeName:
      return { rules: compileRules(config, context) };
    case FilterConfigSchema.typeName:
      return compileWrapped(config, context);
    default:
      if (/rbac|jwt|authz|oauth|wasm|lua|rate_?limit/i.test(name)) {
        throw new Unenforceable(
          `expected cors, fault or rbac, got "${config.typeUrl.slice(0, 200)}", which may guard the route`,
        );
      }
      context.note(`per-route configuration ${name} has no effect`);
      return {};
  }
}

/** A session that cannot be kept is none; it guards nothing. */
function compileSession(config: Any, { note }: CompileContext): SessionPersistence | undefined {
  const { override } = fromBinary(StatefulSessionPerRouteSchema, config.value);
  if (override.case !== "statefulSession") return undefined;
  if (override.value.strict) note("a session's strict has no effect: without its endpoint it goes to another");
  const state = override.value.sessionState?.typedConfig;
  switch (state && typeNameOf(state)) {
    case CookieSchema.typeName: {
      const { name = "", ttl, path = "" } = fromBinary(CookieSchema, state!.value).cookie ?? {};
      if (!TOKEN.test(name) || /[^\x20-\x7e]|;/.test(path)) throw new InvalidField("expected a cookie's name and path");
      return { kind: "cookie", name, path, ttlSeconds: ttl && Math.floor(durationMs(ttl) / 1_000) };
    }
    case HeaderSchema.typeName: {
      const { name } = fromBinary(HeaderSchema, state!.value);
      if (!TOKEN.test(name)) throw new InvalidField("expected a header's name");
      return { kind: "header", name: name.toLowerCase() };
    }
    default:
      note(`session state ${state ? typeNameOf(state) : "none"} has no effect`);
      return undefined;
  }
}

function compileWrapped(config: Any, context: CompileContext): Said {
  const wrapped = fromBinary(FilterConfigSchema, config.value);
  if (wrapped.disabled) throw new Unenforceable("expected a filter's configuration, got one that disables the filter");
  return wrapped.config ? compileOne(wrapped.config, context) : {};
}

/** Without rules, the filter is off for the route. */
function compileRules(config: Any, { security }: CompileContext): readonly RuleSet[] {
  const { rbac } = fromBinary(RBACPerRouteSchema, config.value);
  return rbac ? mustEnforce(security.httpRulesFromProto(rbac)) : [];
}

function compileCors(message: CorsMessage): CorsPolicy | undefined {
  const enabled = message.filterEnabled?.defaultValue;
  if (enabled && at("filter_enabled", () => perMillion(enabled)) === 0) return undefined;
  return {
    allowOrigins: each("allow_origin_string_match", message.allowOriginStringMatch, compileWireMatcher),
    allowMethods: headerText("allow_methods", message.allowMethods),
    allowHeaders: headerText("allow_headers", message.allowHeaders),
    exposeHeaders: headerText("expose_headers", message.exposeHeaders),
    maxAge: headerText("max_age", message.maxAge),
    allowCredentials: message.allowCredentials ?? false,
    forwardsUnmatchedPreflights: message.forwardNotMatchingPreflights ?? true,
  };
}

function headerText(field: string, text: string): string {
  if (/[\0\r\n]/.test(text)) throw new InvalidField("expected no CR, LF or NUL", field);
  return wireText(text);
}

export function compileFault(message: HTTPFault, context: CompileContext): FaultPolicy | undefined {
  if (message.headers.length > 0 || message.upstreamCluster !== "" || message.downstreamNodes.length > 0) {
    throw new InvalidField("expected a fault for every request of the route, got one with conditions");
  }
  if (message.responseRateLimit) context.note("a fault's response_rate_limit has no effect");
  const delay = at("delay", () => compileDelay(message));
  const abort = at("abort", () => compileAbort(message));
  return delay || abort ? { delay, abort } : undefined;
}

function compileDelay({ delay }: HTTPFault): FaultPolicy["delay"] {
  if (delay === undefined) return undefined;
  if (delay.faultDelaySecifier.case !== "fixedDelay") throw new InvalidField("expected a fixed_delay");
  return {
    ms: durationMs(delay.faultDelaySecifier.value),
    perMillion: delay.percentage ? perMillion(delay.percentage) : 0,
  };
}

function compileAbort({ abort }: HTTPFault): FaultPolicy["abort"] {
  if (abort === undefined) return undefined;
  const share = abort.percentage ? perMillion(abort.percentage) : 0;
  const { errorType: error } = abort;
  if (error.case === "httpStatus" && error.value >= 200 && error.value < 600) {
    return { status: { kind: "http", code: error.value }, perMillion: share };
  }
  if (error.case === "grpcStatus" && error.value <= 16)
    return { status: { kind: "grpc", code: error.value }, perMillion: share };
  throw new InvalidField("expected an http_status of 200 to 599 or a grpc_status of 0 to 16");
}
