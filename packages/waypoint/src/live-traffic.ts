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
  /** Counts what it did since the last call: long streams and connections are told of while they run. */
  report(): void;
}

interface Member {
  readonly traffic: LiveTraffic;
  /** Its place in the list; -1 once it has left. */
  at: number;
}

/**
 * A list and not a Set: a Set that is filled and emptied all the time leaves its outgrown tables behind, each holding what
 * was in it and the next table, so that every request stayed in memory until the next full garbage collection.
 */
export class LiveTrafficSet {
  readonly #members: Member[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** @returns to be called once, when it is over */
  add(traffic: LiveTraffic): () => void {
    const member = { traffic, at: this.#members.length };
    this.#members.push(member);
    return () => this.#remove(member);
  }

  /** Cutting one removes it from the list: the copy is what makes that safe. */
  modelChanged(model: RouteModel): void {
    for (const { traffic } of [...this.#members]) traffic.reconsider(model);
  }

  reportAll(): void {
    for (const { traffic } of [...this.#members]) traffic.report();
  }

  cutAll(): void {
    for (const { traffic } of [...this.#members]) traffic.cut();
  }

  /** The last one takes its place. */
  #remove(member: Member): void {
    if (member.at < 0) return;
    const last = this.#members.pop();
    if (last !== undefined && last !== member) {
      this.#members[member.at] = last;
      last.at = member.at;
    }
    member.at = -1;
  }
}
