/** TCP filter chains. Spec: envoy.extensions.filters.network.tcp_proxy.v3 */
import type { Filter, FilterChain } from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import { ExtAuthzSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/ext_authz/v3/ext_authz";
import { RBACSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac";
import { ConfigSchema as SetFilterStateSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state";
import type { TcpProxy } from "@ambit/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { fromBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { TcpChain } from "../model/route-model.ts";
import type { TelemetryConfig } from "../observe/model.ts";
import type { RuleSet, TcpAuthorization } from "../policy/model.ts";
import { compileAccessLogs } from "./compile-access-logs.ts";
import { guard } from "./compile-http-filters.ts";
import { ALL_METRICS, compileStats, STATS, STATS_FILTER } from "./compile-stats.ts";
import type { CompileContext } from "./context.ts";
import { CustomPairs, isCustomShadow } from "./custom-pairs.ts";
import { at, each, InvalidField, mustEnforce, Unenforceable } from "./invalid-field.ts";
import { durationOr, structConfigOf, typeNameOf } from "./values.ts";

export interface TcpChainDraft {
  readonly chain: Omit<TcpChain, "service">;
}

/** Envoy's idle_timeout of tcp_proxy. */
const DEFAULT_IDLE_MS = 3_600_000;

/** @param guards  the filters before tcp_proxy */
export function compileTcpChain(
  { name, metadata }: Pick<FilterChain, "name" | "metadata">,
  guards: readonly Filter[],
  proxy: TcpProxy,
  context: CompileContext,
): TcpChainDraft {
  const { authorization, telemetry } = at("filters", () => compileGuards(guards, context));
  const stats = metadata?.filterMetadata[STATS_FILTER];
  const chain = at("tcp_proxy", (): TcpChainDraft["chain"] => {
    if (proxy.tunnelingConfig)
      throw new InvalidField("expected none: tunnels of TCP are not supported", "tunneling_config");
    return {
      kind: "tcp",
      name,
      authorization,
      clusters: compileClusters(proxy),
      idleTimeoutMs: at("idle_timeout", () => durationOr(proxy.idleTimeout, DEFAULT_IDLE_MS)),
      maxConnectionMs: at("max_downstream_connection_duration", () =>
        durationOr(proxy.maxDownstreamConnectionDuration, 0),
      ),
      hashesSourceIp: proxy.hashPolicy.some(({ policySpecifier }) => policySpecifier.case === "sourceIp"),
      accessLog: compileAccessLogs(proxy.accessLog, context),
      telemetry: stats ? compileStats(stats, context) : telemetry,
    };
  });
  return { chain };
}

function compileClusters({ clusterSpecifier: specifier }: TcpProxy): TcpChain["clusters"] {
  if (specifier.case === "cluster" && specifier.value !== "") return [{ name: specifier.value, weight: 1 }];
  if (specifier.case !== "weightedClusters") throw new InvalidField("expected cluster or weighted_clusters");
  const clusters = each("weighted_clusters.clusters", specifier.value.clusters, ({ name, weight, metadataMatch }) => {
    if (name === "") throw new InvalidField("expected a name");
    if (metadataMatch) throw new InvalidField("metadata_match: expected none; subsets are clusters of their own");
    return { name, weight };
  }).filter(({ weight }) => weight > 0);
  if (clusters.length === 0) throw new InvalidField("weighted_clusters: expected weights that add up to more than 0");
  return clusters;
}

interface CompiledGuards {
  readonly authorization: TcpAuthorization;
  readonly telemetry: TelemetryConfig;
}

const IGNORED: ReadonlySet<string> = new Set([
  SetFilterStateSchema.typeName,
  STATS,
  "envoy.tcp.metadataexchange.config.MetadataExchange",
  "envoy.extensions.network_filters.peer_metadata.Config",
]);

function compileGuards(filters: readonly Filter[], context: CompileContext): CompiledGuards {
  const rules: RuleSet[] = [];
  const custom = new CustomPairs(context.security);
  let telemetry = ALL_METRICS;
  for (const [index, filter] of filters.entries()) {
    at(`[${index}] "${filter.name}"`, () => {
      const config = configOf(filter);
      if (addGuard(config, rules, custom, context)) return;
      const struct = structConfigOf(config);
      if (struct?.typeName === STATS) telemetry = compileStats(struct.value, context);
      const typeName = struct?.typeName ?? typeNameOf(config);
      if (!IGNORED.has(typeName)) throw new Unenforceable(`expected a filter that is supported, got ${typeName}`);
    });
  }
  return { authorization: { custom: custom.finish(), rules }, telemetry };
}

function addGuard(config: Any, rules: RuleSet[], custom: CustomPairs, { security }: CompileContext): boolean {
  switch (typeNameOf(config)) {
    case RBACSchema.typeName: {
      const filter = guard(() => fromBinary(RBACSchema, config.value));
      if (isCustomShadow(filter)) custom.addShadow(filter);
      else rules.push(...mustEnforce(security.networkRulesFromProto(filter)));
      return true;
    }
    case ExtAuthzSchema.typeName: {
      const filter = guard(() => fromBinary(ExtAuthzSchema, config.value));
      custom.addAuthorizer(filter, filter.filterEnabledMetadata);
      return true;
    }
    default:
      return false;
  }
}

/** The inline configuration of a network filter. */
export function configOf({ configType }: Filter): Any {
  if (configType.case === "typedConfig") return configType.value;
  throw new Unenforceable(`expected the filter's configuration inline, got ${configType.case ?? "none"}`);
}
