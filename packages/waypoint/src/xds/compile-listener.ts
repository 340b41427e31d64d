/**
 * Listeners, recognised by name: the pipes between Envoy's listeners are not reproduced. Spec:
 * envoy.config.listener.v3.Listener; Parity: names of istiod
 */
import { ListenerSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener";
import { RouterSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/router/v3/router";
import { ConfigSchema as SetFilterStateSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state";
import { HttpConnectionManagerSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { fromBinary } from "@bufbuild/protobuf";
import { type ChainDraft, type CompiledChain, compileChain, unservableChain } from "./compile-chain.ts";
import { type ChainLookup, compileChainMatcher } from "./compile-chain-matcher.ts";
import type { CompileContext } from "./context.ts";
import { digestOf } from "./digest.ts";
import { at, InvalidField } from "./invalid-field.ts";
import { splitListener } from "./split-listener.ts";
import { structConfigOf, typeNameOf } from "./values.ts";

export const MAIN_LISTENER = "main_internal";
export const TERMINATING_LISTENER = "connect_terminate";

/** Pipes of Envoy's whose work our own stages do. */
export const KNOWN_LISTENERS: ReadonlySet<string> = new Set([
  "connect_originate",
  "inner_connect_originate",
  "outer_connect_originate",
  "forward_inner_connect",
]);

/** `main_internal`, compiled. */
export interface MainListener {
  readonly chains: ReadonlyMap<string, ChainDraft>;
  readonly lookup: ChainLookup;
  /** By the digest of a chain's bytes: what need not be compiled again. */
  readonly compiled: ReadonlyMap<string, CompiledChain>;
  /** Chains that are not as the listener says, and why. */
  readonly problems: readonly string[];
}

/**
 * Compiles the chains that changed and the tree that chooses among them. A chain that cannot be compiled goes on as it
 * was, or is unservable when there is no earlier one, or when what is wrong with it guards something.
 *
 * Throws InvalidField when the listener as a whole makes no sense.
 */
export function compileMain(
  bytes: Uint8Array,
  before: MainListener | undefined,
  context: CompileContext,
): MainListener {
  const parts = splitListener(bytes);
  const compiled = new Map<string, CompiledChain>();
  const chains = new Map<string, ChainDraft>();
  const problems: string[] = [];
  for (const chainBytes of parts.chains) {
    const digest = digestOf(chainBytes);
    const chain = before?.compiled.get(digest) ?? compileChain(chainBytes, context);
    compiled.set(digest, chain);
    if (chain.name === "") throw new InvalidField(chain.problem ?? "expected a name", "filter_chains");
    if (chains.has(chain.name))
      throw new InvalidField(`expected names once, got "${chain.name}" again`, "filter_chains");
    if (chain.problem !== undefined) problems.push(chain.problem);
    chains.set(chain.name, chain.draft ?? before?.chains.get(chain.name) ?? unservable(chain));
  }
  if (parts.hasDefaultChain) context.note(`${MAIN_LISTENER}: its default filter chain has no effect`);
  const names = new Set(chains.keys());
  const { matcher } = parts;
  const lookup = matcher ? at("filter_chain_matcher", () => compileChainMatcher(matcher, names)) : () => undefined;
  return { chains, lookup, compiled, problems };
}

const unservable = ({ name, isHttp, problem = "" }: CompiledChain): ChainDraft =>
  unservableChain(name, isHttp, problem);

const TERMINATING_FILTERS: ReadonlySet<string> = new Set([
  RouterSchema.typeName,
  SetFilterStateSchema.typeName,
  "io.istio.http.peer_metadata.Config",
]);

/**
 * Why nothing may be served because of `connect_terminate`: policies that guard the tunnels themselves. Undefined in
 * every default installation. Its TLS is what we do anyway.
 */
export function terminationProblem(bytes: Uint8Array): string | undefined {
  for (const { filters } of fromBinary(ListenerSchema, bytes).filterChains) {
    for (const { name, configType } of filters) {
      const config = configType.case === "typedConfig" ? configType.value : undefined;
      if (!config || typeNameOf(config) !== HttpConnectionManagerSchema.typeName) {
        return `${TERMINATING_LISTENER}: expected an HTTP connection manager, got filter "${name}"`;
      }
      const unknown = fromBinary(HttpConnectionManagerSchema, config.value).httpFilters.find((filter) => {
        const typed = filter.configType.case === "typedConfig" ? filter.configType.value : undefined;
        const typeName = typed && (structConfigOf(typed)?.typeName ?? typeNameOf(typed));
        return !filter.disabled && (typeName === undefined || !TERMINATING_FILTERS.has(typeName));
      });
      if (unknown)
        return `${TERMINATING_LISTENER}: filter "${unknown.name}" is not supported there and may guard something`;
    }
  }
  return undefined;
}
