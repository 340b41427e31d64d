import type { IpAddress } from "../net/index.ts";
import type { Workload } from "./model.ts";

/** Which workloads count as "own": a pod of the same name may exist on another node or in another cluster. */
export interface OwnPlace {
  readonly node?: string;
  readonly clusterId?: string;
}

/** Workloads by uid, by network and IP, by pod name and by hostname. */
export class WorkloadIndex {
  readonly #own: OwnPlace;
  readonly #byUid = new Map<string, Workload>();
  readonly #byAddress = new Map<string, Workload[]>();
  readonly #byPod = new Map<string, Workload[]>();
  readonly #byHostname = new Map<string, Workload[]>();

  constructor(own: OwnPlace) {
    this.#own = own;
  }

  all(): IterableIterator<Workload> {
    return this.#byUid.values();
  }

  byUid(uid: string): Workload | undefined {
    return this.#byUid.get(uid);
  }

  /** Of several on one IP: a pod, then one that speaks HBONE, then the one received last. */
  byAddress(network: string, ip: IpAddress): Workload | undefined {
    const found = this.#byAddress.get(addressKey(network, ip));
    if (!found || found.length < 2) return found?.[0];
    return found.reduce((best, next) => (addressRank(next) >= addressRank(best) ? next : best));
  }

  own(namespace: string, name: string, serviceAccount: string): Workload | undefined {
    const { node, clusterId } = this.#own;
    const found = this.#byPod.get(`${namespace}/${name}`)?.filter((workload) => {
      const here = node === undefined || workload.node === node;
      return (
        here && workload.serviceAccount === serviceAccount && (clusterId ?? workload.clusterId) === workload.clusterId
      );
    });
    return found?.find(isPod) ?? found?.at(-1);
  }

  byHostname(namespace: string, hostname: string): Workload | undefined {
    return this.#byHostname.get(`${namespace}/${hostname.toLowerCase()}`)?.at(-1);
  }

  put(workload: Workload): void {
    this.remove(workload.uid);
    this.#byUid.set(workload.uid, workload);
    for (const [index, key] of this.#placesOf(workload)) {
      const list = index.get(key);
      if (list) list.push(workload);
      else index.set(key, [workload]);
    }
  }

  remove(uid: string): Workload | undefined {
    const workload = this.#byUid.get(uid);
    if (!workload) return undefined;
    this.#byUid.delete(uid);
    for (const [index, key] of this.#placesOf(workload)) {
      const list = index.get(key)?.filter((other) => other !== workload) ?? [];
      if (list.length > 0) index.set(key, list);
      else index.delete(key);
    }
    return workload;
  }

  #placesOf(workload: Workload): [Map<string, Workload[]>, string][] {
    const places: [Map<string, Workload[]>, string][] = [[this.#byPod, `${workload.namespace}/${workload.name}`]];
    // A host-network workload shares its node's address with everything else on the node.
    const addresses = workload.networkMode === "HostNetwork" ? [] : new Set(workload.addresses);
    for (const ip of addresses) places.push([this.#byAddress, addressKey(workload.network, ip)]);
    const hostname = workload.hostname.toLowerCase();
    if (hostname !== "") places.push([this.#byHostname, `${workload.namespace}/${hostname}`]);
    return places;
  }
}

/** `network/ip`, the alias key of an address. */
export const addressKey = (network: string, ip: IpAddress): string => `${network}/${ip}`;

const isPod = (workload: Workload): boolean => workload.uid.includes("//Pod/");
const addressRank = (workload: Workload): number => (isPod(workload) ? 2 : 0) + (workload.protocol === "HBONE" ? 1 : 0);
