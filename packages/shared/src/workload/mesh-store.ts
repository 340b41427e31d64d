import type { IpAddress } from "../net/index.ts";
import { type Endpoint, EndpointIndex } from "./endpoint-index.ts";
import { type AddressDelta, type Service, serviceKey, type Workload } from "./model.ts";
import { ServiceIndex } from "./service-index.ts";
import { type OwnPlace, WorkloadIndex } from "./workload-index.ts";

/** What an address stands for. */
export type FoundAddress =
  | { readonly kind: "workload"; readonly workload: Workload }
  | { readonly kind: "service"; readonly service: Service };

/** What a delta touched: workloads put or removed, and services put, removed or with other endpoints. */
export interface MeshChange {
  readonly workloads: ReadonlySet<string>;
  readonly services: ReadonlySet<string>;
}

/**
 * The mesh as one thread holds it: every lookup the proxies make, over what xDS delivered. Applying a delta costs
 * in proportion to the delta (and to the endpoint lists of the services it touches, once, at their next use).
 * Not shared between threads; each applies the same deltas. A lost control plane changes nothing here: the last
 * good state stays until told otherwise.
 *
 * Parity: ztunnel src/state.rs, src/state/service.rs, src/state/workload.rs.
 */
export class MeshStore {
  readonly #workloads: WorkloadIndex;
  readonly #services = new ServiceIndex();
  readonly #endpoints = new EndpointIndex();

  /** @param own restricts `findOwnWorkload` to this node and cluster */
  constructor(own: OwnPlace = {}) {
    this.#workloads = new WorkloadIndex(own);
  }

  /** Puts, then removals. A name removed may be a workload uid or a service key; unknown names have no effect. */
  apply(delta: AddressDelta): MeshChange {
    const change = { workloads: new Set<string>(), services: new Set<string>() };
    for (const workload of delta.workloads) this.#putWorkload(workload, change);
    for (const service of delta.services) this.#putService(service, change);
    for (const name of delta.removed) this.#remove(name, change);
    return change;
  }

  workloads(): IterableIterator<Workload> {
    return this.#workloads.all();
  }

  services(): IterableIterator<Service> {
    return this.#services.all();
  }

  /** Keys that workloads name as their service, while no such service is known. */
  stagedServiceKeys(): readonly string[] {
    return [...this.#endpoints.keys()].filter((key) => !this.#services.byKey(key));
  }

  /** What the address is to a client of `sourceNamespace`: a workload before a service. Host-network ones never. */
  findAddress(network: string, ip: IpAddress, sourceNamespace?: string): FoundAddress | undefined {
    const workload = this.findWorkload(network, ip);
    if (workload) return { kind: "workload", workload };
    const service = this.findService(network, ip, sourceNamespace);
    return service && { kind: "service", service };
  }

  /** The service whose VIP this is: exact VIPs first, then prefixes. Without a namespace nothing is hidden. */
  findService(network: string, ip: IpAddress, sourceNamespace?: string): Service | undefined {
    return this.#services.byVip(network, ip, sourceNamespace);
  }

  findServiceByKey(key: string): Service | undefined {
    return this.#services.byKey(key);
  }

  /** Services of this hostname (any case) that a client there may see, best first. */
  servicesByHostname(hostname: string, clientNamespace?: string): readonly Service[] {
    return this.#services.byHostname(hostname, clientNamespace);
  }

  findWorkload(network: string, ip: IpAddress): Workload | undefined {
    return this.#workloads.byAddress(network, ip);
  }

  findWorkloadByUid(uid: string): Workload | undefined {
    return this.#workloads.byUid(uid);
  }

  findWorkloadByHostname(namespace: string, hostname: string): Workload | undefined {
    return this.#workloads.byHostname(namespace, hostname);
  }

  /** The workload of a pod of this node. */
  findOwnWorkload(namespace: string, name: string, serviceAccount: string): Workload | undefined {
    return this.#workloads.own(namespace, name, serviceAccount);
  }

  /** Endpoints that may be picked: healthy ones, or all under AllowAll. Empty for an unknown service. */
  endpointsOf(key: string): readonly Endpoint[] {
    const service = this.#services.byKey(key);
    return service ? this.#endpoints.selectable(key, service) : [];
  }

  /** Every endpoint named for this key, also unhealthy ones and those of services not known yet. */
  allEndpointsOf(key: string): readonly Endpoint[] {
    return this.#endpoints.all(key);
  }

  /** Whether the workload is behind the service, whatever its health. */
  isEndpoint(key: string, uid: string): boolean {
    return this.#endpoints.has(key, uid);
  }

  #putWorkload(workload: Workload, change: { workloads: Set<string>; services: Set<string> }): void {
    const before = this.#workloads.byUid(workload.uid);
    if (before) for (const key of this.#endpoints.remove(before)) change.services.add(key);
    this.#workloads.put(workload);
    for (const key of this.#endpoints.put(workload)) change.services.add(key);
    change.workloads.add(workload.uid);
  }

  #putService(service: Service, change: { services: Set<string> }): void {
    const key = serviceKey(service);
    this.#services.put(service);
    this.#endpoints.refresh(key);
    change.services.add(key);
  }

  #remove(name: string, change: { workloads: Set<string>; services: Set<string> }): void {
    const workload = this.#workloads.remove(name);
    if (workload) {
      for (const key of this.#endpoints.remove(workload)) change.services.add(key);
      change.workloads.add(name);
    } else if (this.#services.remove(name)) {
      change.services.add(name);
    }
  }
}
