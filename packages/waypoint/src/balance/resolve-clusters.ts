/** Looks up the hosts of clusters whose endpoints are names, again and again; what was found holds until the next answer. */
import { lookup } from "node:dns/promises";
import { formatSocketAddress, type IpAddress, ipOf } from "@ambit/shared/net";
import type { Clock } from "@ambit/shared/time";
import type { ClusterBalancers } from "./cluster-balancer.ts";
import type { Cluster, Endpoint } from "./model.ts";

/** Addresses of a name, in the order of the resolver. Rejects when there are none, or nobody knows. */
export type Lookup = (hostname: string) => Promise<readonly IpAddress[]>;

type Named = NonNullable<Cluster["dns"]>;

/** After the last answer. Parity: Envoy's dns_refresh_rate. */
const REFRESH_MS = 5_000;
const MAX_ADDRESSES = 256;

export class ClusterResolver {
  readonly #clock: Clock;
  readonly #balancers: Pick<ClusterBalancers, "resolved">;
  readonly #lookUp: Lookup;
  readonly #watches = new Map<string, ClusterWatch>();

  constructor(clock: Clock, balancers: Pick<ClusterBalancers, "resolved">, lookUp: Lookup = systemLookup) {
    this.#clock = clock;
    this.#balancers = balancers;
    this.#lookUp = lookUp;
  }

  /** The clusters of a new model. New names are looked up at once; those that are known keep their pace. */
  update(clusters: ReadonlyMap<string, Cluster>): void {
    for (const [name, watch] of this.#watches) {
      const dns = clusters.get(name)?.dns;
      if (dns && watch.isOf(dns)) continue;
      watch.stop();
      this.#watches.delete(name);
    }
    for (const { name, dns } of clusters.values()) {
      if (dns && !this.#watches.has(name)) this.#watches.set(name, this.#watch(name, dns));
    }
  }

  stop(): void {
    for (const watch of this.#watches.values()) watch.stop();
    this.#watches.clear();
  }

  #watch(name: string, dns: Named): ClusterWatch {
    const onFound = (endpoints: readonly Endpoint[]): void =>
      this.#balancers.resolved(name, [[{ region: "", zone: "", subzone: "", weight: 1, endpoints }]]);
    return new ClusterWatch(dns, { clock: this.#clock, lookUp: this.#lookUp, onFound });
  }
}

interface WatchInit {
  readonly clock: Clock;
  readonly lookUp: Lookup;
  onFound(endpoints: readonly Endpoint[]): void;
}

/** The names of one cluster. One look-up of each at a time, however long it takes. */
class ClusterWatch {
  readonly #dns: Named;
  readonly #init: WatchInit;
  /** By place in the list of names; a look-up that fails changes nothing. */
  readonly #found: (readonly Endpoint[])[];
  #cancel = (): void => {};
  #stopped = false;

  constructor(dns: Named, init: WatchInit) {
    this.#dns = dns;
    this.#init = init;
    this.#found = dns.hostnames.map(() => []);
    void this.#refresh();
  }

  isOf(dns: Named): boolean {
    return dns === this.#dns || JSON.stringify(dns) === JSON.stringify(this.#dns);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #refresh(): Promise<void> {
    await Promise.all(this.#dns.hostnames.map((_host, at) => this.#resolve(at)));
    if (this.#stopped) return;
    this.#tell();
    this.#cancel = this.#init.clock.after(REFRESH_MS, () => void this.#refresh());
  }

  async #resolve(at: number): Promise<void> {
    const { hostname, port } = this.#dns.hostnames[at]!;
    try {
      this.#found[at] = (await this.#init.lookUp(hostname)).map((ip) => endpointOf(ip, port));
    } catch {
      // What was found before holds.
    }
  }

  #tell(): void {
    const endpoints = this.#found.flat();
    if (endpoints.length === 0) return;
    // Parity: LOGICAL_DNS has one endpoint at a time, whichever the name means now.
    this.#init.onFound(endpoints.slice(0, this.#dns.logical ? 1 : MAX_ADDRESSES));
  }
}

function endpointOf(ip: IpAddress, port: number): Endpoint {
  const address = { ip, port };
  const reach = { kind: "plain" } as const;
  return { key: formatSocketAddress(address), address, weight: 1, health: "healthy", reach, workload: "" };
}

export const systemLookup: Lookup = async (hostname) =>
  (await lookup(hostname, { all: true, order: "verbatim" })).map(({ address }) => ipOf(address));
