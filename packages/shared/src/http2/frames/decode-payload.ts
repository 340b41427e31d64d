import { ok, type Result } from "../../errors/index.ts";
import { H2Code } from "../api.ts";
import { type Fault, fault } from "./fault.ts";
import { Flag } from "./frame-type.ts";

/** The header block fragment of a HEADERS frame, without padding and priority. Spec: RFC 9113 section 6.2. */
export function headerFragment(flags: number, payload: Buffer): Result<Buffer, Fault> {
  const padded = (flags & Flag.PADDED) !== 0;
  const start = (padded ? 1 : 0) + ((flags & Flag.PRIORITY) === 0 ? 0 : 5);
  if (payload.length < start) return fault(H2Code.FRAME_SIZE_ERROR, `HEADERS of ${payload.length} bytes is too short`);
  const padding = padded ? (payload[0] ?? 0) : 0;
  if (start + padding > payload.length) {
    return fault(H2Code.PROTOCOL_ERROR, `padding of ${padding} bytes does not fit HEADERS of ${payload.length} bytes`);
  }
  return ok(payload.subarray(start, payload.length - padding));
}

export interface Goaway {
  readonly lastStreamId: number;
  readonly code: number;
  /** Printable part of the debug data, at most 200 characters. */
  readonly debug: string;
}

/** Spec: RFC 9113 section 6.8. */
export function decodeGoaway(payload: Buffer): Result<Goaway, Fault> {
  if (payload.length < 8) return fault(H2Code.FRAME_SIZE_ERROR, `GOAWAY of ${payload.length} bytes is too short`);
  return ok({
    lastStreamId: payload.readUInt32BE(0) & 0x7fff_ffff,
    code: payload.readUInt32BE(4),
    debug: payload.toString("latin1", 8, 208).replace(/[^ -~]/g, "?"),
  });
}

/** The 31-bit increment of WINDOW_UPDATE; 0 is passed on for the caller to judge. */
export function decodeWindowUpdate(payload: Buffer): Result<number, Fault> {
  if (payload.length !== 4) return fault(H2Code.FRAME_SIZE_ERROR, `WINDOW_UPDATE of ${payload.length} bytes, not 4`);
  return ok(payload.readUInt32BE(0) & 0x7fff_ffff);
}

export function decodeRstStream(payload: Buffer): Result<number, Fault> {
  if (payload.length !== 4) return fault(H2Code.FRAME_SIZE_ERROR, `RST_STREAM of ${payload.length} bytes, not 4`);
  return ok(payload.readUInt32BE(0));
}

/** Most values one SETTINGS frame may carry; six are defined. */
const MAX_SETTINGS = 64;

/** Pairs in wire order; a later value of the same id replaces an earlier one. Spec: RFC 9113 section 6.5. */
export function decodeSettings(payload: Buffer): Result<readonly (readonly [number, number])[], Fault> {
  if (payload.length % 6 !== 0) {
    return fault(H2Code.FRAME_SIZE_ERROR, `SETTINGS of ${payload.length} bytes is no multiple of 6`);
  }
  if (payload.length > MAX_SETTINGS * 6) {
    return fault(H2Code.ENHANCE_YOUR_CALM, `SETTINGS with ${payload.length / 6} values, at most ${MAX_SETTINGS}`);
  }
  const settings: (readonly [number, number])[] = [];
  for (let at = 0; at < payload.length; at += 6)
    settings.push([payload.readUInt16BE(at), payload.readUInt32BE(at + 2)]);
  return ok(settings);
}
