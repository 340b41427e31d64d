/**
 * What runs through the waypoint now, and is judged again when the configuration changes: a policy reaches the long streams
 * and connections it would not have let in.
 *
 * Differs: Envoy keeps a stream on the configuration it began with, for as long as it lasts.
 */
import type { RouteModel } from "./model/route-model.ts";

/** Something that was let in and can be cut. */
export interface LiveTraffic {
  /** Judges it by the new configuration; cuts itself when it would be refused now. */
  reconsider(model: RouteModel): void;
  /** The process is leaving and its time is up. */
  cut(): void;
}

export class LiveTrafficSet {
  readonly #live = new Set<LiveTraffic>();

  get size(): number {
    return this.#live.size;
  }

  /** @returns to be called once, when it is over */
  add(traffic: LiveTraffic): () => void {
    this.#live.add(traffic);
    return () => this.#live.delete(traffic);
  }

  /** Cutting one removes it from the set: the copy is what makes that safe. */
  modelChanged(model: RouteModel): void {
    for (const traffic of [...this.#live]) traffic.reconsider(model);
  }

  cutAll(): void {
    for (const traffic of [...this.#live]) traffic.cut();
  }
}
