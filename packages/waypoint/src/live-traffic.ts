/**
 * What runs through the waypoint now, and is judged again when the configuration changes: a policy reaches the long streams
 * and connections it would not have let in.
 *
 * Differs: Envoy keeps a stream on the configuration it began with, for as long as it lasts.
 */
import { LiveList } from "@ambit/shared/collections";
import type { RouteModel } from "./model/route-model.ts";

/** Something that was let in and can be cut. */
export interface LiveTraffic {
  /** Judges it by the new configuration; cuts itself when it would be refused now. */
  reconsider(model: RouteModel): void;
  /** The process is leaving and its time is up. */
  cut(): void;
  /** Counts what it did since the last call: long streams and connections are told of while they run. */
  report(): void;
}

export class LiveTrafficSet {
  readonly #members = new LiveList<LiveTraffic>();

  get size(): number {
    return this.#members.size;
  }

  /** @returns to be called once, when it is over */
  add(traffic: LiveTraffic): () => void {
    const member = this.#members.add(traffic);
    return () => member.leave();
  }

  modelChanged(model: RouteModel): void {
    for (const traffic of this.#members.values()) traffic.reconsider(model);
  }

  reportAll(): void {
    for (const traffic of this.#members.values()) traffic.report();
  }

  cutAll(): void {
    for (const traffic of this.#members.values()) traffic.cut();
  }
}
