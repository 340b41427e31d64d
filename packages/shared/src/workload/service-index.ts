import { type Cidr, CidrMap, type IpAddress, ipBits, ipToBytes } from "../net/index.ts";
import { type Service, serviceKey } from "./model.ts";
import { addressKey } from "./workload-index.ts";

/**
 * Services by key, hostname, exact VIP and CIDR VIP. Several may claim the same hostname or VIP; which one a client
 * means depends on its namespace, so every query takes it. Without one (`undefined`), nothing is hidden.
 *
 * Differs: ztunnel keeps one service per VIP and namespace, and breaks the last tie by arrival; ours is by key, so
 * that every node answers alike.
 */
export class ServiceIndex {
  readonly #byKey = new Map<string, Service>();
  readonly #byHostname = new Map<string, Service[]>();
  readonly #byVip = new Map<string, Service[]>();
  readonly #byCidr = new Map<string, CidrMap<Service>>();

  all(): IterableIterator<Service> {
    return this.#byKey.values();
  }

  byKey(key: string): Service | undefined {
    return this.#byKey.get(key);
  }

  /** Best first: the client's namespace, then canonical, then by key. Only services the client may see. */
  byHostname(hostname: string, clientNamespace: string | undefined): readonly Service[] {
    const found = this.#byHostname.get(hostname.toLowerCase()) ?? [];
    return found.filter((service) => isVisible(service, clientNamespace)).sort(byRank(clientNamespace));
  }

  byVip(network: string, ip: IpAddress, clientNamespace: string | undefined): Service | undefined {
    const exact = this.#byVip.get(addressKey(network, ip));
    return (exact && best(exact, clientNamespace)) ?? this.#byCidrVip(network, ip, clientNamespace);
  }

  put(service: Service): void {
    this.remove(serviceKey(service));
    this.#byKey.set(serviceKey(service), service);
    for (const [index, key] of this.#placesOf(service)) {
      const list = index.get(key);
      if (list) list.push(service);
      else index.set(key, [service]);
    }
    for (const { network, address, prefixLength } of service.cidrVips) {
      const table = this.#byCidr.get(network) ?? new CidrMap<Service>();
      this.#byCidr.set(network, table);
      table.add(cidrOf(address, prefixLength), service);
    }
  }

  remove(key: string): Service | undefined {
    const service = this.#byKey.get(key);
    if (!service) return undefined;
    this.#byKey.delete(key);
    for (const [index, place] of this.#placesOf(service)) {
      const list = index.get(place)?.filter((other) => other !== service) ?? [];
      if (list.length > 0) index.set(place, list);
      else index.delete(place);
    }
    for (const { network, address, prefixLength } of service.cidrVips) {
      const table = this.#byCidr.get(network);
      table?.remove(cidrOf(address, prefixLength), service);
      if (table?.isEmpty) this.#byCidr.delete(network);
    }
    return service;
  }

  /** A service of the client's namespace wins even with a shorter prefix; then the longest prefix. */
  #byCidrVip(network: string, ip: IpAddress, clientNamespace: string | undefined): Service | undefined {
    let longest: Service | undefined;
    let own: Service | undefined;
    this.#byCidr.get(network)?.visit(ipBits(ip), (services) => {
      const found = best(services, clientNamespace);
      longest ??= found;
      if (found?.namespace === clientNamespace) own = found;
      return own !== undefined;
    });
    return own ?? longest;
  }

  #placesOf(service: Service): [Map<string, Service[]>, string][] {
    const vips = new Set(service.vips.map(({ network, address }) => addressKey(network, address)));
    const places = [...vips].map((key): [Map<string, Service[]>, string] => [this.#byVip, key]);
    places.push([this.#byHostname, service.hostname.toLowerCase()]);
    return places;
  }
}

/** Parity: NAMESPACE visibility hides a service from clients of other namespaces. */
function isVisible(service: Service, clientNamespace: string | undefined): boolean {
  return service.visibility === "Public" || clientNamespace === undefined || service.namespace === clientNamespace;
}

function best(services: readonly Service[], clientNamespace: string | undefined): Service | undefined {
  const compare = byRank(clientNamespace);
  let winner: Service | undefined;
  for (const service of services) {
    if (isVisible(service, clientNamespace) && (!winner || compare(service, winner) < 0)) winner = service;
  }
  return winner;
}

const byRank = (clientNamespace: string | undefined) => (a: Service, b: Service) => {
  const rank = (service: Service) => (service.namespace === clientNamespace ? 2 : 0) + (service.canonical ? 1 : 0);
  return rank(b) - rank(a) || (serviceKey(a) < serviceKey(b) ? -1 : 1);
};

const cidrOf = (address: IpAddress, prefixLength: number): Cidr => ({ bytes: ipToBytes(address), prefixLength });
