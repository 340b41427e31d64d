import { MAX_STREAM_ID } from "../frames/frame-type.ts";
import type { Stream } from "./stream.ts";

/** How many streams that were cut are remembered, because frames sent before the peer knew may still come. */
const REMEMBERED_CUTS = 1024;

/** Which streams exist, existed, or were never opened. Only clients open streams here: push is refused. */
export class StreamTable {
  readonly #role: "client" | "server";
  readonly #open = new Map<number, Stream>();
  readonly #cut = new Set<number>();
  #lastRemoteId = 0;
  #nextLocalId = 1;
  #remoteSeen = 0;

  constructor(role: "client" | "server") {
    this.#role = role;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Highest id the peer has used. */
  get lastRemoteId(): number {
    return this.#lastRemoteId;
  }

  get remoteSeen(): number {
    return this.#remoteSeen;
  }

  get(id: number): Stream | undefined {
    return this.#open.get(id);
  }

  all(): readonly Stream[] {
    return [...this.#open.values()];
  }

  add(stream: Stream): void {
    this.#open.set(stream.id, stream);
  }

  /** @param cut the peer may not know yet that the stream is over */
  remove(id: number, cut: boolean): void {
    this.#open.delete(id);
    if (!cut) return;
    this.#cut.add(id);
    if (this.#cut.size > REMEMBERED_CUTS) this.#cut.delete(this.#cut.values().next().value as number);
  }

  /** The stream was cut lately: frames for it are to be ignored. */
  wasCut(id: number): boolean {
    return this.#cut.has(id);
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
}
