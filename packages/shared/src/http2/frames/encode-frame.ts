import { FRAME_HEADER_BYTES, type HeaderList } from "../api.ts";
import { encodeHeaderBlock } from "../hpack/encoder.ts";
import { Flag, FrameType } from "./frame-type.ts";

/** Writes the header of a DATA frame into the first nine bytes of `target`. */
export function writeDataHeader(target: Buffer, payloadBytes: number, streamId: number, endStream: boolean): void {
  target[0] = payloadBytes >>> 16;
  target[1] = payloadBytes >>> 8;
  target[2] = payloadBytes;
  target[3] = FrameType.DATA;
  target[4] = endStream ? Flag.END_STREAM : 0;
  target[5] = streamId >>> 24;
  target[6] = streamId >>> 16;
  target[7] = streamId >>> 8;
  target[8] = streamId;
}

/** Header and payload of any frame, in one buffer. */
export function encodeFrame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  writeDataHeader(frame, payload.length, streamId, false);
  frame[3] = type;
  frame[4] = flags;
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/** SETTINGS with these values, in this order. */
export function encodeSettings(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.allocUnsafe(settings.length * 6);
  for (const [index, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  }
  return encodeFrame(FrameType.SETTINGS, 0, 0, payload);
}

export function encodeSettingsAck(): Buffer {
  return encodeFrame(FrameType.SETTINGS, Flag.ACK, 0, Buffer.alloc(0));
}

/** @param opaque eight bytes, which the answer repeats */
export function encodePing(opaque: Uint8Array, ack: boolean): Buffer {
  return encodeFrame(FrameType.PING, ack ? Flag.ACK : 0, 0, opaque);
}

export function encodeWindowUpdate(streamId: number, increment: number): Buffer {
  return encodeFrame(FrameType.WINDOW_UPDATE, 0, streamId, uint32(increment));
}

export function encodeRstStream(streamId: number, code: number): Buffer {
  return encodeFrame(FrameType.RST_STREAM, 0, streamId, uint32(code));
}

export function encodeGoaway(lastStreamId: number, code: number, debug: string): Buffer {
  return encodeFrame(FrameType.GOAWAY, 0, 0, Buffer.concat([uint32(lastStreamId), uint32(code), Buffer.from(debug)]));
}

export interface HeaderFramesInit {
  readonly streamId: number;
  readonly endStream: boolean;
  /** The receiver's SETTINGS_MAX_FRAME_SIZE. */
  readonly maxFrameBytes: number;
  /** The first block of a connection tells the peer that our table is empty for ever. */
  readonly firstBlock: boolean;
}

/** HEADERS and as many CONTINUATION frames as needed, in one buffer, because nothing may come between them. */
export function encodeHeaderFrames(headers: HeaderList, init: HeaderFramesInit): Buffer {
  const block = encodeHeaderBlock(headers, init.firstBlock);
  const endStream = init.endStream ? Flag.END_STREAM : 0;
  if (block.length <= init.maxFrameBytes) {
    return encodeFrame(FrameType.HEADERS, endStream | Flag.END_HEADERS, init.streamId, block);
  }
  const frames: Buffer[] = [];
  for (let at = 0; at < block.length; at += init.maxFrameBytes) {
    const last = at + init.maxFrameBytes >= block.length ? Flag.END_HEADERS : 0;
    const type = at === 0 ? FrameType.HEADERS : FrameType.CONTINUATION;
    const flags = at === 0 ? endStream : last;
    frames.push(encodeFrame(type, flags, init.streamId, block.subarray(at, at + init.maxFrameBytes)));
  }
  return Buffer.concat(frames);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}
