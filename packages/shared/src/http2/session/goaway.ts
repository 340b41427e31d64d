import { H2Code } from "../api.ts";
import type { Goaway } from "../frames/decode-payload.ts";
import { encodeGoaway, encodePing } from "../frames/encode-frame.ts";
import { MAX_STREAM_ID } from "../frames/frame-type.ts";

const SHUTDOWN_PING = Buffer.from("ambit-gs", "latin1");

/** Who has said goodbye, and up to which stream. Pure bookkeeping; the session sends what it returns. */
export class Goodbye {
  readonly #role: "client" | "server";
  #announced = false;
  #received: Goaway | undefined;
  #servedUpTo = MAX_STREAM_ID;

  constructor(role: "client" | "server") {
    this.#role = role;
  }

  /** No new streams from us any more. */
  get said(): boolean {
    return this.#announced || this.#received !== undefined;
  }

  get announced(): boolean {
    return this.#announced;
  }

  get received(): Goaway | undefined {
    return this.#received;
  }

  /** The last stream gone, the session is over. */
  get settled(): boolean {
    const ours = this.#role === "client" ? this.#announced : this.#servedUpTo !== MAX_STREAM_ID;
    return ours || this.#received !== undefined;
  }

  covers(streamId: number): boolean {
    return streamId <= this.#servedUpTo;
  }

  /** A server first says that the end is near, and asks by PING when the client has read it; a client is done at once. */
  announce(): Buffer {
    this.#announced = true;
    if (this.#role === "client") return encodeGoaway(0, H2Code.NO_ERROR, "");
    return Buffer.concat([encodeGoaway(MAX_STREAM_ID, H2Code.NO_ERROR, ""), encodePing(SHUTDOWN_PING, false)]);
  }

  isAnswerToAnnouncement(pong: Buffer): boolean {
    return this.#announced && pong.equals(SHUTDOWN_PING);
  }

  /** The final GOAWAY of a server, or undefined when it was sent already. */
  conclude(lastStreamId: number): Buffer | undefined {
    if (this.#role === "client" || this.#servedUpTo !== MAX_STREAM_ID) return undefined;
    this.#servedUpTo = lastStreamId;
    return encodeGoaway(lastStreamId, H2Code.NO_ERROR, "");
  }

  receive(goaway: Goaway): void {
    this.#received = goaway;
  }
}
