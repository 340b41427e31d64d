import type { PortMapping, Service, Workload } from "./model.ts";

/** One workload behind a service, with its own mapping of the service's ports. */
export interface Endpoint {
  readonly workload: Workload;
  readonly ports: readonly PortMapping[];
}

interface EndpointSet {
  readonly byUid: Map<string, Endpoint>;
  /** What is selectable, rebuilt on demand after a change. */
  selectable: readonly Endpoint[] | undefined;
}

/**
 * Endpoints per service key, also of services not (or no longer) known: workloads name them, so they are true
 * whatever the order of arrival. Health is judged when asked, so a service that switches to AllowAll gets its
 * unhealthy endpoints back. Differs: ztunnel drops them for good.
 */
export class EndpointIndex {
  readonly #sets = new Map<string, EndpointSet>();

  keys(): IterableIterator<string> {
    return this.#sets.keys();
  }

  /** Every endpoint, healthy or not. */
  all(key: string): readonly Endpoint[] {
    return [...(this.#sets.get(key)?.byUid.values() ?? [])];
  }

  has(key: string, uid: string): boolean {
    return this.#sets.get(key)?.byUid.has(uid) ?? false;
  }

  /** Endpoints the service's health policy lets be picked. The same array until something changes. */
  selectable(key: string, service: Service): readonly Endpoint[] {
    const set = this.#sets.get(key);
    if (!set) return [];
    const allowAll = service.loadBalancing?.healthPolicy === "AllowAll";
    set.selectable ??= [...set.byUid.values()].filter(({ workload }) => allowAll || workload.status === "Healthy");
    return set.selectable;
  }

  /** The service changed: its health policy may have. */
  refresh(key: string): void {
    const set = this.#sets.get(key);
    if (set) set.selectable = undefined;
  }

  /** @returns the keys of the services it belongs to */
  put(workload: Workload): readonly string[] {
    const keys = Object.keys(workload.services);
    for (const key of keys) {
      const set = this.#sets.get(key) ?? { byUid: new Map(), selectable: undefined };
      this.#sets.set(key, set);
      set.byUid.set(workload.uid, { workload, ports: workload.services[key] ?? [] });
      set.selectable = undefined;
    }
    return keys;
  }

  /** @returns the keys of the services it belonged to */
  remove(workload: Workload): readonly string[] {
    const keys = Object.keys(workload.services);
    for (const key of keys) {
      const set = this.#sets.get(key);
      if (!set?.byUid.delete(workload.uid)) continue;
      set.selectable = undefined;
      if (set.byUid.size === 0) this.#sets.delete(key);
    }
    return keys;
  }
}
