/**
 * Joins compiled resources to one route model: clusters with their endpoints, chains with their routes and services.
 * What did not change keeps its identity, so that balancers and caches keyed by it live on.
 */
import type { Cluster } from "../balance/model.ts";
import type { Chains, HttpChain, RouteModel, ServicePort, TcpChain, TunnelDestination } from "../model/route-model.ts";
import type { RouteTable } from "../route/model.ts";
import type { ChainDraft } from "./compile-chain.ts";
import type { ChainNames } from "./compile-chain-matcher.ts";
import { type ClusterDraft, withEndpoints } from "./compile-cluster.ts";
import type { CompiledEndpoints } from "./compile-endpoints.ts";
import type { MainListener } from "./compile-listener.ts";
import { type CompiledSecret, withSecrets } from "./compile-secret.ts";

/** A table, or why the chains that use it cannot be served. */
export type CompiledTable =
  | { readonly kind: "table"; readonly table: RouteTable }
  | { readonly kind: "unservable"; readonly reason: string };

export interface CompiledResources {
  readonly clusters: ReadonlyMap<string, ClusterDraft>;
  readonly endpoints: ReadonlyMap<string, CompiledEndpoints>;
  readonly secrets: ReadonlyMap<string, CompiledSecret>;
  readonly tables: ReadonlyMap<string, CompiledTable>;
  readonly main: MainListener | undefined;
  /** Why nothing at all may be served; undefined: all is well. */
  readonly terminationProblem: string | undefined;
}

type Chain = HttpChain | TcpChain;

/** Makes models one after the other. */
export class ModelAssembler {
  #clusters = new Joined<Cluster>();
  #chains = new Joined<Chain>();
  #generation = 0;

  assemble(resources: CompiledResources): RouteModel {
    const clusters = this.#joinClusters(resources);
    const chains = this.#joinChains(resources, clusters);
    const lookup = resources.main?.lookup;
    this.#generation++;
    return {
      generation: this.#generation,
      clusters,
      chains,
      findChains: (destination: TunnelDestination, peer = "") => chainsOf(lookup?.(destination, peer), chains),
    };
  }

  #joinClusters({ clusters, endpoints, secrets: found }: CompiledResources): ReadonlyMap<string, Cluster> {
    const joined = new Joined<Cluster>();
    for (const [name, { cluster, eds, secrets }] of clusters) {
      const assigned = eds === undefined ? undefined : endpoints.get(eds);
      const find = (secret: string): CompiledSecret | undefined => found.get(secret);
      const join = (): Cluster => withSecrets(assigned ? withEndpoints(cluster, assigned) : cluster, secrets, find);
      const parts = [secrets.certificate, secrets.roots].map((secret) => secret && find(secret));
      joined.add(name, [cluster, assigned, ...parts], this.#clusters, join);
    }
    this.#clusters = joined;
    return joined.values;
  }

  #joinChains(resources: CompiledResources, clusters: ReadonlyMap<string, Cluster>): ReadonlyMap<string, Chain> {
    const joined = new Joined<Chain>();
    for (const [name, draft] of resources.main?.chains ?? []) {
      const service = clusters.get(name)?.service;
      const table =
        "rds" in draft && draft.rds !== undefined ? (resources.tables.get(draft.rds) ?? missing(draft.rds)) : undefined;
      const problem = resources.terminationProblem ?? (table?.kind === "unservable" ? table.reason : undefined);
      const routes = table?.kind === "table" ? table.table : undefined;
      const join = (): Chain => joinChain(draft, { service: servicePort(name, service), routes, problem });
      joined.add(
        name,
        [draft, service?.hostname, service?.name, service?.namespace, routes, problem],
        this.#chains,
        join,
      );
    }
    this.#chains = joined;
    return joined.values;
  }
}

const missing = (name: string): CompiledTable => ({
  kind: "unservable",
  reason: `route configuration "${name}" has not come`,
});

/** Values made of parts, by name; made anew only when one of the parts is another than before. */
class Joined<Value> {
  readonly values = new Map<string, Value>();
  readonly #parts = new Map<string, readonly unknown[]>();

  add(name: string, parts: readonly unknown[], before: Joined<Value>, join: () => Value): void {
    const earlier = before.#parts.get(name);
    const value = earlier?.every((part, index) => part === parts[index]) ? before.values.get(name) : undefined;
    this.values.set(name, value ?? join());
    this.#parts.set(name, parts);
  }
}

interface ChainParts {
  readonly service: ServicePort | undefined;
  /** By RDS; undefined: the chain has its own. */
  readonly routes: RouteTable | undefined;
  readonly problem: string | undefined;
}

function joinChain({ chain }: ChainDraft, { service, routes, problem }: ChainParts): Chain {
  const unservable = chain.unservable ?? problem;
  const common = { service, ...(unservable === undefined ? {} : { unservable }) };
  if (chain.kind === "tcp") return { ...chain, ...common };
  return { ...chain, ...common, routes: routes ?? chain.routes };
}

/** `inbound-vip|80|http|cart.shop.svc.cluster.local`; the cluster of that name knows the service better. */
function servicePort(chainName: string, known: Cluster["service"]): ServicePort | undefined {
  const parts = chainName.split("|");
  const [kind, port, , hostname] = parts;
  if (parts.length !== 4 || kind !== "inbound-vip" || !hostname || !/^\d{1,5}$/.test(port ?? "")) return undefined;
  const inCluster = /^([^.]+)\.([^.]+)\.svc(\.|$)/.exec(hostname);
  return {
    hostname,
    port: Number(port),
    name: known?.name ?? inCluster?.[1] ?? hostname,
    namespace: known?.namespace || (inCluster?.[2] ?? ""),
  };
}

function chainsOf(names: ChainNames | undefined, chains: ReadonlyMap<string, Chain>): Chains | undefined {
  if (names === undefined) return undefined;
  const all = names.kind === "declared" ? [names.only] : [names.http, names.tcp];
  let http: HttpChain | undefined;
  let tcp: TcpChain | undefined;
  for (const name of all) {
    const chain = name === undefined ? undefined : chains.get(name);
    if (chain?.kind === "http") http = chain;
    if (chain?.kind === "tcp") tcp = chain;
  }
  return { ...(http ? { http } : {}), ...(tcp ? { tcp } : {}) };
}
