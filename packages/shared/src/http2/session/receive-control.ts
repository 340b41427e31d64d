import { H2Code } from "../api.ts";
import { decodeRstStream, decodeWindowUpdate } from "../frames/decode-payload.ts";
import { encodePing } from "../frames/encode-frame.ts";
import { Flag, FrameType } from "../frames/frame-type.ts";
import type { SessionCore } from "./core.ts";
import { resetByPeer } from "./failures.ts";

/** Every frame but DATA, HEADERS and CONTINUATION. Spec: RFC 9113 sections 6.3 to 6.9. */
export class ControlReceiver {
  readonly #core: SessionCore;

  constructor(core: SessionCore) {
    this.#core = core;
  }

  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void {
    switch (type) {
      case FrameType.WINDOW_UPDATE:
        this.#onWindowUpdate(streamId, payload);
        return;
      case FrameType.RST_STREAM:
        this.#onRstStream(streamId, payload);
        return;
      case FrameType.PUSH_PROMISE:
        this.#core.fail(H2Code.PROTOCOL_ERROR, "PUSH_PROMISE, though push is off");
        return;
    }
    const { flood } = this.#core;
    const isProbe = type === FrameType.PING && (flags & Flag.ACK) === 0;
    if (!(isProbe ? flood.ping() : flood.controlFrame())) {
      this.#core.fail(H2Code.ENHANCE_YOUR_CALM, `too many frames of type ${type}`);
      return;
    }
    switch (type) {
      case FrameType.SETTINGS:
        this.#onSettings(flags, streamId, payload);
        return;
      case FrameType.PING:
        this.#onPing(flags, streamId, payload);
        return;
      case FrameType.GOAWAY:
        if (streamId !== 0) {
          this.#core.fail(H2Code.PROTOCOL_ERROR, "GOAWAY on a stream");
          return;
        }
        this.#core.onGoaway(payload);
        return;
      case FrameType.PRIORITY:
        this.#onPriority(streamId, payload);
        return;
    }
  }

  #onSettings(flags: number, streamId: number, payload: Buffer): void {
    if (streamId !== 0) {
      this.#core.fail(H2Code.PROTOCOL_ERROR, "SETTINGS on a stream");
      return;
    }
    if ((flags & Flag.ACK) === 0) {
      this.#core.onPeerSettings(payload);
      return;
    }
    if (payload.length > 0) {
      this.#core.fail(H2Code.FRAME_SIZE_ERROR, "SETTINGS acknowledgement with values");
      return;
    }
    this.#core.onSettingsAck();
  }

  #onPing(flags: number, streamId: number, payload: Buffer): void {
    if (streamId !== 0) {
      this.#core.fail(H2Code.PROTOCOL_ERROR, "PING on a stream");
      return;
    }
    if (payload.length !== 8) {
      this.#core.fail(H2Code.FRAME_SIZE_ERROR, `PING of ${payload.length} bytes, not 8`);
      return;
    }
    if ((flags & Flag.ACK) !== 0) this.#core.onPong(payload);
    else this.#core.outbox.sendSoon(encodePing(payload, true));
  }

  /** Priorities are deprecated (RFC 9113 section 5.3.2); only the frame's form is checked. */
  #onPriority(streamId: number, payload: Buffer): void {
    if (streamId === 0) {
      this.#core.fail(H2Code.PROTOCOL_ERROR, "PRIORITY on stream 0");
      return;
    }
    if (payload.length === 5) return;
    const stream = this.#core.table.get(streamId);
    if (stream !== undefined) this.#core.life.resetForFault(stream, H2Code.FRAME_SIZE_ERROR, "PRIORITY not of 5 bytes");
  }

  #onRstStream(streamId: number, payload: Buffer): void {
    const core = this.#core;
    const code = decodeRstStream(payload);
    if (!code.ok) {
      core.fail(code.error.code, code.error.message);
      return;
    }
    if (streamId === 0 || core.table.isIdle(streamId)) {
      core.fail(H2Code.PROTOCOL_ERROR, `RST_STREAM on stream ${streamId}, which was never opened`);
      return;
    }
    const stream = core.table.get(streamId);
    const rapid = core.role === "server" && stream !== undefined && !stream.headersSent;
    if (stream !== undefined) core.life.closeByPeer(stream, resetByPeer(core.role, streamId, code.value));
    const known = stream !== undefined || core.table.forgetCut(streamId);
    const allowed = rapid ? core.flood.reset() : known || core.flood.controlFrame();
    if (!allowed) core.fail(H2Code.ENHANCE_YOUR_CALM, "too many streams opened and reset");
  }

  #onWindowUpdate(streamId: number, payload: Buffer): void {
    const core = this.#core;
    const increment = decodeWindowUpdate(payload);
    if (!increment.ok) {
      core.fail(increment.error.code, increment.error.message);
      return;
    }
    if (!core.flood.windowUpdate()) {
      core.fail(H2Code.ENHANCE_YOUR_CALM, "too many WINDOW_UPDATE frames");
      return;
    }
    if (streamId === 0) {
      this.#growConnection(increment.value);
      return;
    }
    if (core.table.isIdle(streamId)) {
      core.fail(H2Code.PROTOCOL_ERROR, `WINDOW_UPDATE on stream ${streamId}, which was never opened`);
      return;
    }
    const stream = core.table.get(streamId);
    if (stream === undefined) return;
    if (increment.value === 0) {
      core.life.resetForFault(stream, H2Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      return;
    }
    if (!stream.sendWindow.grow(increment.value)) {
      core.life.resetForFault(stream, H2Code.FLOW_CONTROL_ERROR, "window above 2^31-1");
      return;
    }
    core.sender.streamWindowGrew(stream);
  }

  #growConnection(increment: number): void {
    if (increment === 0) {
      this.#core.fail(H2Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      return;
    }
    if (!this.#core.sender.connectionWindow.grow(increment)) {
      this.#core.fail(H2Code.FLOW_CONTROL_ERROR, "connection window above 2^31-1");
      return;
    }
    this.#core.sender.connectionWindowGrew();
  }
}
