import { FRAME_HEADER_BYTES } from "./api.ts";

/** Payload of a pooled frame. */
export const POOLED_PAYLOAD_BYTES = 64 * 1024;
/** Smaller payloads are cheaper to allocate than to keep. */
const MIN_POOLED_BYTES = 8 * 1024;
const MAX_FREE = 64;

const free: Buffer[] = [];
const pooled = new WeakSet<ArrayBufferLike>();

/**
 * A buffer for `writeFramed` with room for the frame header and exactly `payloadBytes` behind it, not cleared.
 * Bulk frames are used again once the transport took them: a fresh 64 KiB each costs page faults, and garbage outside
 * the heap makes V8 collect the whole of it 30 times a GB (measured).
 */
export function takeFrame(payloadBytes: number): Buffer {
  const bytes = FRAME_HEADER_BYTES + payloadBytes;
  if (payloadBytes < MIN_POOLED_BYTES || payloadBytes > POOLED_PAYLOAD_BYTES) return Buffer.allocUnsafe(bytes);
  const whole = free.pop() ?? newFrame();
  return whole.length === bytes ? whole : whole.subarray(0, bytes);
}

/** A block of `POOLED_PAYLOAD_BYTES` for other bulk bytes, to be given back by `recycleFrame`. */
export const takeBlock = (): Buffer => (free.pop() ?? newFrame()).subarray(0, POOLED_PAYLOAD_BYTES);

/** Whether the frame came from here and begins where it began. */
export const isPooledFrame = (frame: Buffer): boolean => frame.byteOffset === 0 && pooled.has(frame.buffer);

/** Gives a frame back that nobody will look at again. */
export function recycleFrame(frame: Buffer): void {
  if (free.length < MAX_FREE) free.push(Buffer.from(frame.buffer));
}

function newFrame(): Buffer {
  const frame = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES + POOLED_PAYLOAD_BYTES);
  pooled.add(frame.buffer);
  return frame;
}
