import { H2Code } from "../api.ts";
import type { SessionCore } from "./core.ts";
import { TINY_DATA_BYTES } from "./flood-guard.ts";
import type { Stream } from "./stream.ts";

/** DATA frames: flow control, then straight to the owner. Spec: RFC 9113 sections 5.1 and 6.1. */
export class DataReceiver {
  readonly #core: SessionCore;
  /** Owner of the frame being read; undefined while its bytes are thrown away. */
  #stream: Stream | undefined;
  #flowBytes = 0;

  constructor(core: SessionCore) {
    this.#core = core;
  }

  onDataStart(streamId: number, flowBytes: number): void {
    const core = this.#core;
    this.#stream = undefined;
    this.#flowBytes = flowBytes;
    if (!core.connectionWindow.take(flowBytes)) {
      core.fail(H2Code.FLOW_CONTROL_ERROR, "DATA beyond the connection's window");
      return;
    }
    const stream = core.table.get(streamId);
    if (stream === undefined) {
      this.#stray(streamId);
      return;
    }
    if (stream.remoteEnded) {
      core.life.resetForFault(stream, H2Code.STREAM_CLOSED, "DATA after END_STREAM");
      return;
    }
    if (core.role === "client" && !stream.answered) {
      core.life.resetForFault(stream, H2Code.PROTOCOL_ERROR, "DATA before the response's headers");
      return;
    }
    if (!stream.receiveWindow.take(flowBytes)) {
      core.life.resetForFault(stream, H2Code.FLOW_CONTROL_ERROR, "DATA beyond the stream's window");
      return;
    }
    this.#stream = stream;
  }

  onDataBytes(bytes: Buffer): void {
    const stream = this.#stream;
    if (stream === undefined || stream.closed) {
      this.#core.life.creditConnection(bytes.length);
      return;
    }
    stream.unconsumed += bytes.length;
    try {
      stream.handlers?.onData(bytes);
    } catch (thrown) {
      this.#core.life.resetForThrow(stream, thrown);
    }
  }

  onDataEnd(endStream: boolean, paddingBytes: number): void {
    const stream = this.#stream;
    this.#stream = undefined;
    const { life } = this.#core;
    if (paddingBytes > 0) life.creditConnection(paddingBytes);
    if (!endStream && this.#flowBytes - paddingBytes < TINY_DATA_BYTES) this.#countTiny(stream, paddingBytes);
    if (stream === undefined || stream.closed) return;
    if (paddingBytes > 0) life.creditStream(stream, paddingBytes);
    if (endStream) endRemote(this.#core, stream);
  }

  #countTiny(stream: Stream | undefined, paddingBytes: number): void {
    const { flood } = this.#core;
    const empty = this.#flowBytes === paddingBytes;
    const allowed = empty || stream === undefined ? flood.controlFrame() : flood.tinyData(stream.tinyData);
    if (!allowed) this.#core.fail(H2Code.ENHANCE_YOUR_CALM, "too many DATA frames with little or nothing in them");
  }

  #stray(streamId: number): void {
    const core = this.#core;
    if (streamId === 0 || core.table.isIdle(streamId)) {
      core.fail(H2Code.PROTOCOL_ERROR, `DATA on stream ${streamId}, which was never opened`);
      return;
    }
    if (core.table.wasCut(streamId)) return;
    if (!core.flood.controlFrame()) {
      core.fail(H2Code.ENHANCE_YOUR_CALM, "too much DATA on closed streams");
      return;
    }
    core.life.refuse(streamId, H2Code.STREAM_CLOSED);
  }
}

/** The peer said its last word on this stream. */
export function endRemote(core: SessionCore, stream: Stream): void {
  stream.remoteEnded = true;
  try {
    stream.handlers?.onEnd();
  } catch (thrown) {
    core.life.resetForThrow(stream, thrown);
  }
  if (!stream.closed) core.life.closeIfDone(stream);
}
