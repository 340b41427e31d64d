/**
 * The HTTP filters of a chain: what guards it is compiled for the stages that enforce it, what only observes is
 * ignored, and anything else makes the chain unservable.
 */
import { CorsSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/cors/v3/cors";
import { FilterConfigSchema as DynamicProxySchema } from "@ambit/envoy-api/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy";
import { ExtAuthzSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz";
import { HTTPFaultSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/fault/v3/fault";
import { FilterConfigSchema as GrpcStatsSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/grpc_stats/v3/config";
import { GrpcWebSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/grpc_web/v3/grpc_web";
import { JwtAuthenticationSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/jwt_authn/v3/config";
import { RBACSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { RouterSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/router/v3/router";
import { ConfigSchema as SetFilterStateSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state";
import { StatefulSessionSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/stateful_session/v3/stateful_session";
import type { HttpFilter } from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { fromBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { JwtAuthentication } from "../authenticate/model.ts";
import type { TelemetryConfig } from "../observe/model.ts";
import type { CustomAuthorization, RuleSet } from "../policy/model.ts";
import type { FaultPolicy } from "../route/model.ts";
import { compileFault } from "./compile-per-filter.ts";
import { ALL_METRICS, compileStats, STATS } from "./compile-stats.ts";
import type { CompileContext } from "./context.ts";
import { CustomPairs, isCustomShadow } from "./custom-pairs.ts";
import { at, InvalidField, mustEnforce, Unenforceable } from "./invalid-field.ts";
import { structConfigOf, typeNameOf } from "./values.ts";

export interface CompiledFilters {
  readonly authentication: JwtAuthentication | undefined;
  readonly custom: readonly CustomAuthorization[];
  readonly rules: readonly RuleSet[];
  /** For every route that has none of its own. */
  readonly fault: FaultPolicy | undefined;
  readonly setsClientCert: boolean;
  readonly hidesEnvoyHeaders: boolean;
  readonly translatesGrpcWeb: boolean;
  readonly telemetry: TelemetryConfig;
}

/** Tells the application who called: the one header mutation that istiod writes. Spec: envoy header_mutation.v3 */
const CLIENT_CERT_FILTER = "istio.waypoint.xfcc_client_identity";

/** Filters that only observe, or whose work is done by the stages anyway. */
const IGNORED: ReadonlySet<string> = new Set([
  GrpcStatsSchema.typeName,
  CorsSchema.typeName,
  DynamicProxySchema.typeName,
  // What it does, each route says.
  StatefulSessionSchema.typeName,
  SetFilterStateSchema.typeName,
  "io.istio.http.peer_metadata.Config",
]);

export function compileHttpFilters(filters: readonly HttpFilter[], context: CompileContext): CompiledFilters {
  const compiler = new HttpFilterCompiler(context);
  for (const [index, filter] of filters.entries()) {
    if (!filter.disabled) at(`[${index}] "${filter.name}"`, () => compiler.add(filter));
  }
  return compiler.finish();
}

class HttpFilterCompiler {
  readonly #context: CompileContext;
  readonly #custom: CustomPairs;
  readonly #rules: RuleSet[] = [];
  #authentication: JwtAuthentication | undefined;
  #fault: FaultPolicy | undefined;
  #setsClientCert = false;
  #hidesEnvoyHeaders = false;
  #translatesGrpcWeb = false;
  #telemetry: TelemetryConfig = ALL_METRICS;

  constructor(context: CompileContext) {
    this.#context = context;
    this.#custom = new CustomPairs(context.security);
  }

  add(filter: HttpFilter): void {
    if (filter.configType.case === "configDiscovery") {
      throw new Unenforceable("expected the filter's configuration, got one that is to be discovered (ECDS)");
    }
    const config = filter.configType.value;
    if (config === undefined) throw new InvalidField("expected a configuration");
    const typeName = typeNameOf(config);
    if (IGNORED.has(typeName)) return;
    if (this.#addGuard(filter.name, typeName, config) || this.#addOther(filter.name, typeName, config)) return;
    if (!filter.isOptional) {
      throw new Unenforceable(
        `expected a filter that is supported, got ${structConfigOf(config)?.typeName ?? typeName}`,
      );
    }
    this.#context.note(`optional filter "${filter.name}" is not supported and left out`);
  }

  /** What lets requests through or not. @returns whether it was one of those */
  #addGuard(name: string, typeName: string, config: Any): boolean {
    const { security } = this.#context;
    switch (typeName) {
      case RBACSchema.typeName: {
        const filter = guard(() => fromBinary(RBACSchema, config.value));
        if (isCustomShadow(filter)) this.#custom.addShadow(filter);
        else
          for (const set of mustEnforce(security.httpRulesFromProto(filter)))
            this.#rules.push({ ...set, filter: name });
        return true;
      }
      case ExtAuthzSchema.typeName: {
        const filter = guard(() => fromBinary(ExtAuthzSchema, config.value));
        this.#custom.addAuthorizer(filter, filter.filterEnabledMetadata);
        return true;
      }
      case JwtAuthenticationSchema.typeName:
        if (this.#authentication) throw new Unenforceable("expected one jwt_authn, got a second");
        this.#authentication = mustEnforce(
          security.jwtFromProto(guard(() => fromBinary(JwtAuthenticationSchema, config.value))),
        );
        return true;
      default:
        return false;
    }
  }

  #addOther(name: string, typeName: string, config: Any): boolean {
    if (typeName === HTTPFaultSchema.typeName) {
      this.#fault = compileFault(fromBinary(HTTPFaultSchema, config.value), this.#context);
      return true;
    }
    if (typeName === GrpcWebSchema.typeName) {
      this.#translatesGrpcWeb = true;
      return true;
    }
    if (typeName === RouterSchema.typeName) {
      this.#hidesEnvoyHeaders ||= fromBinary(RouterSchema, config.value).suppressEnvoyHeaders;
      return true;
    }
    if (name === CLIENT_CERT_FILTER) {
      this.#setsClientCert = true;
      return true;
    }
    return this.#addStruct(config);
  }

  #addStruct(config: Any): boolean {
    const struct = structConfigOf(config);
    if (struct?.typeName === STATS) this.#telemetry = compileStats(struct.value, this.#context);
    return struct !== undefined && (struct.typeName === STATS || IGNORED.has(struct.typeName));
  }

  finish(): CompiledFilters {
    return {
      authentication: this.#authentication,
      custom: this.#custom.finish(),
      rules: this.#rules,
      fault: this.#fault,
      setsClientCert: this.#setsClientCert,
      hidesEnvoyHeaders: this.#hidesEnvoyHeaders,
      translatesGrpcWeb: this.#translatesGrpcWeb,
      telemetry: this.#telemetry,
    };
  }
}

/** Decodes what guards a chain: bytes that are no message guard nothing. */
export function guard<T>(decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new Unenforceable(`expected a message, got ${(error as Error).message}`);
  }
}
