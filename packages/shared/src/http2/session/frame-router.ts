import { H2Code } from "../api.ts";
import type { FrameSink } from "../frames/frame-reader.ts";
import { Flag, FrameType } from "../frames/frame-type.ts";
import type { SessionCore } from "./core.ts";
import { ControlReceiver } from "./receive-control.ts";
import { DataReceiver } from "./receive-data.ts";
import { HeaderReceiver } from "./receive-headers.ts";

/** Gives each frame to its receiver, and checks the order of frames that no single frame can check. */
export class FrameRouter implements FrameSink {
  readonly #core: SessionCore;
  readonly #data: DataReceiver;
  readonly #headers: HeaderReceiver;
  readonly #control: ControlReceiver;
  #settingsSeen = false;

  constructor(core: SessionCore) {
    this.#core = core;
    this.#data = new DataReceiver(core);
    this.#headers = new HeaderReceiver(core);
    this.#control = new ControlReceiver(core);
  }

  onDataStart(streamId: number, flowBytes: number): void {
    if (this.#inOrder(FrameType.DATA, 0)) this.#data.onDataStart(streamId, flowBytes);
  }

  onDataBytes(bytes: Buffer): void {
    this.#data.onDataBytes(bytes);
  }

  onDataEnd(endStream: boolean, paddingBytes: number): void {
    this.#data.onDataEnd(endStream, paddingBytes);
  }

  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (!this.#inOrder(type, flags)) return;
    if (type === FrameType.HEADERS) this.#headers.onHeaders(flags, streamId, payload);
    else if (type === FrameType.CONTINUATION) this.#headers.onContinuation(flags, streamId, payload);
    else this.#control.onFrame(type, flags, streamId, payload);
  }

  onReaderFault(code: number, message: string): void {
    this.#core.fail(code, message);
  }

  /** SETTINGS first (RFC 9113 section 3.4), and nothing inside a header block (section 4.3). */
  #inOrder(type: number, flags: number): boolean {
    if (!this.#settingsSeen) {
      this.#settingsSeen = type === FrameType.SETTINGS && (flags & Flag.ACK) === 0;
      if (!this.#settingsSeen) this.#core.fail(H2Code.PROTOCOL_ERROR, "the first frame is not SETTINGS");
      return this.#settingsSeen;
    }
    if (this.#headers.midBlock && type !== FrameType.CONTINUATION) {
      this.#core.fail(H2Code.PROTOCOL_ERROR, `frame of type ${type} inside a header block`);
      return false;
    }
    return true;
  }
}
