/** One filter chain of `main_internal`, from its bytes. */
import {
  type Filter,
  type FilterChain,
  FilterChainSchema,
} from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import { HttpConnectionManagerSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { ConfigSchema as SetFilterStateSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state";
import { TcpProxySchema } from "@ambit/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { fromBinary } from "@bufbuild/protobuf";
import { NO_ACCESS_LOG } from "./compile-access-logs.ts";
import { compileHttpChain, type HttpChainDraft } from "./compile-http-chain.ts";
import { compileTcpChain, configOf, type TcpChainDraft } from "./compile-tcp-chain.ts";
import type { CompileContext } from "./context.ts";
import { at, InvalidField, Unenforceable } from "./invalid-field.ts";
import { typeNameOf, unpack } from "./values.ts";

export type ChainDraft = HttpChainDraft | TcpChainDraft;

export interface CompiledChain {
  readonly name: string;
  readonly isHttp: boolean;
  /** Undefined when it cannot be compiled and nothing in it is known to guard: an earlier version may go on. */
  readonly draft: ChainDraft | undefined;
  /** What to say in the NACK. */
  readonly problem: string | undefined;
}

/** Total: what is wrong is in the result. */
export function compileChain(bytes: Uint8Array, context: CompileContext): CompiledChain {
  let name = "";
  let isHttp = true;
  try {
    const chain = fromBinary(FilterChainSchema, bytes);
    const { filters, transportSocket } = chain;
    name = chain.name;
    const last = filters.at(-1);
    if (last === undefined) throw new InvalidField("expected filters");
    isHttp = typeNameOf(configOf(last)) === HttpConnectionManagerSchema.typeName;
    if (transportSocket)
      throw new InvalidField("expected none: what comes out of a tunnel is plain", "transport_socket");
    const draft = isHttp ? httpChain(name, filters, last, context) : tcpChain(chain, last, context);
    return { name, isHttp, draft, problem: undefined };
  } catch (error) {
    const reason = `filter chain "${name}": ${(error instanceof Error ? error.message : String(error)).slice(0, 800)}`;
    const draft = error instanceof Unenforceable ? unservableChain(name, isHttp, reason) : undefined;
    return { name, isHttp, draft, problem: reason };
  }
}

function httpChain(name: string, filters: readonly Filter[], last: Filter, context: CompileContext): HttpChainDraft {
  for (const filter of filters.slice(0, -1)) {
    // set_dst_address of multi-network meshes: we know the destination from the tunnel.
    if (typeNameOf(configOf(filter)) !== SetFilterStateSchema.typeName) {
      throw new Unenforceable(`expected nothing before the HTTP connection manager, got "${filter.name}"`, "filters");
    }
  }
  const manager = unpack(configOf(last), HttpConnectionManagerSchema);
  return at("http_connection_manager", () => compileHttpChain(name, manager, context));
}

function tcpChain(chain: FilterChain, last: Filter, context: CompileContext): TcpChainDraft {
  const config = configOf(last);
  if (typeNameOf(config) !== TcpProxySchema.typeName) {
    throw new Unenforceable(
      `expected tcp_proxy or an HTTP connection manager at the end, got ${typeNameOf(config)}`,
      "filters",
    );
  }
  return compileTcpChain(chain, chain.filters.slice(0, -1), unpack(config, TcpProxySchema), context);
}

/** A chain that exists, so that what is sent to it is refused with the reason. */
export function unservableChain(name: string, isHttp: boolean, reason: string): ChainDraft {
  const base = { name, unservable: reason, accessLog: NO_ACCESS_LOG, telemetry: { metricsDisabled: false } };
  const authorization = { custom: [], rules: [] };
  if (!isHttp) {
    return {
      chain: {
        ...base,
        kind: "tcp",
        authorization,
        clusters: [],
        idleTimeoutMs: 0,
        maxConnectionMs: 0,
        hashesSourceIp: false,
      },
    };
  }
  return {
    chain: {
      ...base,
      kind: "http",
      path: { normalization: "base", escapedSlashes: "keep" },
      streamIdleTimeoutMs: 0,
      acceptsHttp10: false,
      upgrades: [],
      forwardedClientCert: "sanitize",
      authentication: undefined,
      authorization,
      routes: { name, virtualHosts: [] },
      tracing: undefined,
    },
    rds: undefined,
  };
}
