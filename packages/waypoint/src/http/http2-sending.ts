/** What sending on an HTTP/2 stream has in common in both roles. */
import { FRAME_HEADER_BYTES, type H2Stream, takeFrame } from "@ambit/shared/http2";

/** Largest piece copied into one frame; longer bodies are cut. */
const MAX_PIECE_BYTES = 64 * 1024;

/** Copies `bytes` behind room for the frame header and queues them. @returns false = wait for `onDrain` */
export function writeCopy(stream: H2Stream, bytes: Buffer): boolean {
  let roomy = true;
  for (let at = 0; at < bytes.length; at += MAX_PIECE_BYTES) {
    const end = Math.min(bytes.length, at + MAX_PIECE_BYTES);
    const frame = takeFrame(end - at);
    bytes.copy(frame, FRAME_HEADER_BYTES, at, end);
    roomy = stream.writeFramed(frame);
  }
  return roomy;
}
