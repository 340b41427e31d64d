import { MAX_STREAM_ID } from "../frames/frame-type.ts";
import type { Stream } from "./stream.ts";

/** How many streams that were cut are remembered, because frames sent before the peer knew may still come. */
const REMEMBERED_CUTS = 1024;

/**
 * Which streams exist, existed, or were never opened. Only clients open streams here: push is refused.
 *
 * Arrays, for the reason that `LiveList` gives. Streams come in the order of their ids, so that the list is sorted.
 */
export class StreamTable {
  readonly #role: "client" | "server";
  readonly #open: Stream[] = [];
  /** The latest, as a ring. */
  readonly #cut: number[] = [];
  #nextCut = 0;
  #lastRemoteId = 0;
  #nextLocalId = 1;
  #remoteSeen = 0;

  constructor(role: "client" | "server") {
    this.#role = role;
  }

  get size(): number {
    return this.#open.length;
  }

  /** Highest id the peer has used. */
  get lastRemoteId(): number {
    return this.#lastRemoteId;
  }

  get remoteSeen(): number {
    return this.#remoteSeen;
  }

  get(id: number): Stream | undefined {
    const stream = this.#open[this.#placeOf(id)];
    return stream?.id === id ? stream : undefined;
  }

  all(): readonly Stream[] {
    return [...this.#open];
  }

  /** @param stream with a higher id than all before it */
  add(stream: Stream): void {
    this.#open.push(stream);
  }

  /** @param cut the peer may not know yet that the stream is over */
  remove(id: number, cut: boolean): void {
    this.#removeOpen(id);
    if (!cut) return;
    this.#cut[this.#nextCut] = id;
    this.#nextCut = (this.#nextCut + 1) % REMEMBERED_CUTS;
  }

  /** The stream was cut lately: frames for it are to be ignored. */
  wasCut(id: number): boolean {
    return this.#cut.includes(id);
  }

  /** The peer says that it knows the stream is over. @returns false unless it was cut lately */
  forgetCut(id: number): boolean {
    const place = this.#cut.indexOf(id);
    if (place >= 0) this.#cut[place] = 0;
    return place >= 0;
  }

  /** No HEADERS ever opened it. Spec: RFC 9113 section 5.1, "idle". */
  isIdle(id: number): boolean {
    if (id % 2 === 0) return true;
    return this.#role === "client" ? id >= this.#nextLocalId : id > this.#lastRemoteId;
  }

  /** Lower idle ids become closed. Spec: RFC 9113 section 5.1.1. */
  openedByPeer(id: number): void {
    this.#lastRemoteId = id;
    this.#remoteSeen++;
  }

  get idsLeft(): boolean {
    return this.#nextLocalId <= MAX_STREAM_ID;
  }

  takeLocalId(): number {
    const id = this.#nextLocalId;
    this.#nextLocalId += 2;
    return id;
  }

  /** Where the stream is, or would be. */
  #placeOf(id: number): number {
    const open = this.#open;
    let low = 0;
    let high = open.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (open[middle]!.id < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** By hand: `splice` would make an array of what it takes out. */
  #removeOpen(id: number): void {
    const open = this.#open;
    const place = this.#placeOf(id);
    if (open[place]?.id !== id) return;
    for (let at = place + 1; at < open.length; at++) open[at - 1] = open[at]!;
    open.pop();
  }
}
