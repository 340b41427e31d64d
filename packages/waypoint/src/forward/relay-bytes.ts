/** Stage "forward", TCP: joins two byte streams. Half-closes and resets pass both ways; a slow reader stops its writer. */
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

/** How a relay ended. */
export interface RelayEnd {
  readonly bytesFromDownstream: number;
  readonly bytesFromUpstream: number;
  /** Which side failed first; undefined when both ended in order. */
  readonly failed: "downstream" | "upstream" | undefined;
  readonly error: Error | undefined;
}

export interface Relay {
  readonly ended: Promise<RelayEnd>;
  /** Cuts both sides, by our own decision: neither counts as failed. */
  cut(error: Error): void;
  /** Bytes moved so far; changes while it runs. */
  readonly bytesFromDownstream: number;
  readonly bytesFromUpstream: number;
  /** Called whenever bytes moved, for idle timers. */
  onActivity: (() => void) | undefined;
  /** Sees the client's bytes before they go on; may cut. */
  onDownstreamBytes: ((chunk: Buffer) => void) | undefined;
}

/** Both streams belong to the relay from now on; neither may have a reader yet. */
export function relayBytes(downstream: Duplex, upstream: Duplex): Relay {
  return new ByteRelay(downstream, upstream);
}

class ByteRelay implements Relay {
  readonly ended: Promise<RelayEnd>;
  bytesFromDownstream = 0;
  bytesFromUpstream = 0;
  onActivity: (() => void) | undefined;
  onDownstreamBytes: ((chunk: Buffer) => void) | undefined;
  readonly #downstream: Duplex;
  readonly #upstream: Duplex;
  readonly #resolve: (end: RelayEnd) => void;
  #open = 2;
  #failed: RelayEnd["failed"];
  #isCut = false;
  #error: Error | undefined;

  constructor(downstream: Duplex, upstream: Duplex) {
    const { promise, resolve } = Promise.withResolvers<RelayEnd>();
    this.ended = promise;
    this.#resolve = resolve;
    this.#downstream = downstream;
    this.#upstream = upstream;
    this.#join("downstream", downstream, upstream);
    this.#join("upstream", upstream, downstream);
  }

  cut(error: Error): void {
    if (this.#open === 0) return;
    this.#isCut = true;
    this.#error ??= error;
    cutStream(this.#downstream, error);
    cutStream(this.#upstream, error);
  }

  #join(side: "downstream" | "upstream", from: Duplex, to: Duplex): void {
    from.on("data", (chunk: Buffer) => {
      if (side === "downstream") {
        this.bytesFromDownstream += chunk.length;
        this.onDownstreamBytes?.(chunk);
      } else this.bytesFromUpstream += chunk.length;
      this.onActivity?.();
      if (!to.destroyed && !to.write(chunk)) from.pause();
    });
    to.on("drain", () => void from.resume());
    from.on("end", () => void (to.destroyed || to.end()));
    from.on("error", (error: Error) => {
      // What breaks because it was cut is nobody's failure.
      if (!this.#isCut) this.#failed ??= side;
      this.#error ??= error;
    });
    from.on("close", () => this.#closed(from, to));
  }

  /** A stream that closed before it ended was cut: what the other side got is not complete, and must not look so. */
  #closed(from: Duplex, to: Duplex): void {
    if (!from.readableEnded || from.errored) cutStream(to, this.#error ?? new Error("the other side was cut"));
    this.#open -= 1;
    if (this.#open > 0) return;
    const { bytesFromDownstream, bytesFromUpstream } = this;
    this.#resolve({ bytesFromDownstream, bytesFromUpstream, failed: this.#failed, error: this.#error });
  }
}

/** A TCP socket that is only destroyed sends FIN, which says "complete". */
function cutStream(stream: Duplex, error: Error): void {
  if (stream instanceof Socket && !(stream instanceof TLSSocket) && !stream.destroyed) stream.resetAndDestroy();
  else stream.destroy(error);
}
