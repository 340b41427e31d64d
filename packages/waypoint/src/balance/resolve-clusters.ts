/** Looks up the hosts of clusters whose endpoints are names, again and again; what was found holds until the next answer. */
import { lookup } from "node:dns/promises";
import { formatSocketAddress, ipOf } from "@ambit/shared/net";
import type { Clock } from "@ambit/shared/time";
import type { ClusterBalancers } from "./cluster-balancer.ts";
import type { Cluster, Endpoint } from "./model.ts";

/** Parity: Envoy's dns_refresh_rate. */
const REFRESH_MS = 5_000;
const MAX_ADDRESSES = 256;

export class ClusterResolver {
  readonly #clock: Clock;
  readonly #balancers: Pick<ClusterBalancers, "resolved">;
  #clusters: readonly Cluster[] = [];
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(clock: Clock, balancers: Pick<ClusterBalancers, "resolved">) {
    this.#clock = clock;
    this.#balancers = balancers;
  }

  /** The clusters of a new model; new names are looked up at once. */
  update(clusters: ReadonlyMap<string, Cluster>): void {
    this.#clusters = [...clusters.values()].filter(({ dns }) => dns !== undefined);
    this.#cancel?.();
    void this.#refresh();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  async #refresh(): Promise<void> {
    const clusters = this.#clusters;
    await Promise.all(clusters.map((cluster) => this.#resolve(cluster)));
    if (this.#stopped || this.#clusters !== clusters || clusters.length === 0) return;
    this.#cancel = this.#clock.after(REFRESH_MS, () => void this.#refresh());
  }

  /** A failed look-up changes nothing. */
  async #resolve(cluster: Cluster): Promise<void> {
    const { dns } = cluster;
    if (!dns) return;
    const found = await Promise.all(dns.hostnames.map((host) => endpointsOf(host)));
    const endpoints = found.flat();
    if (endpoints.length === 0 || this.#stopped) return;
    // Parity: LOGICAL_DNS has one endpoint at a time, whichever the name means now.
    const chosen = dns.logical ? endpoints.slice(0, 1) : endpoints.slice(0, MAX_ADDRESSES);
    this.#balancers.resolved(cluster.name, [[{ region: "", zone: "", subzone: "", weight: 1, endpoints: chosen }]]);
  }
}

async function endpointsOf({ hostname, port }: { hostname: string; port: number }): Promise<readonly Endpoint[]> {
  try {
    const addresses = await lookup(hostname, { all: true, order: "verbatim" });
    return addresses.map(({ address }) => {
      const at = { ip: ipOf(address), port };
      const reach = { kind: "plain" } as const;
      return { key: formatSocketAddress(at), address: at, weight: 1, health: "healthy", reach, workload: "" } as const;
    });
  } catch {
    return [];
  }
}
