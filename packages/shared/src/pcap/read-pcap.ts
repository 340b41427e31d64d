import { err, ok, type Result } from "../errors/index.ts";
import { type IpAddress, ipFromBytes } from "../net/index.ts";

/** One TCP segment seen on a link. `payload` is a view into the file's bytes. */
export interface CapturedSegment {
  /** Microseconds since the epoch. */
  readonly atUs: number;
  readonly source: IpAddress;
  readonly sourcePort: number;
  readonly destination: IpAddress;
  readonly destinationPort: number;
  readonly payload: Buffer;
}

export interface Capture {
  /** All frames, of whatever protocol. */
  readonly frames: number;
  readonly segments: readonly CapturedSegment[];
}

const GLOBAL_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const LINK_ETHERNET = 1;
const ETHERTYPE = { ipv4: 0x0800, ipv6: 0x86dd } as const;
const PROTOCOL_TCP = 6;

/**
 * Reads a classic little-endian pcap file of Ethernet frames (what tcpdump -w and the lab write) into its TCP segments.
 * Frames of other protocols are counted and passed over; a cut-off last record ends the list. Never throws.
 *
 * Spec: draft-ietf-opsawg-pcap
 */
export function readPcap(file: Buffer): Result<Capture> {
  if (file.length < GLOBAL_HEADER_BYTES || file.readUInt32LE(0) !== MAGIC_MICROSECONDS) {
    return err("expected a little-endian pcap file with microsecond stamps");
  }
  if (file.readUInt32LE(20) !== LINK_ETHERNET)
    return err(`expected Ethernet frames, got link type ${file.readUInt32LE(20)}`);
  const segments: CapturedSegment[] = [];
  let frames = 0;
  let at = GLOBAL_HEADER_BYTES;
  while (at + RECORD_HEADER_BYTES <= file.length) {
    const length = file.readUInt32LE(at + 8);
    const start = at + RECORD_HEADER_BYTES;
    if (start + length > file.length) break;
    frames++;
    const atUs = file.readUInt32LE(at) * 1e6 + file.readUInt32LE(at + 4);
    const segment = parseFrame(file.subarray(start, start + length), atUs);
    if (segment) segments.push(segment);
    at = start + length;
  }
  return ok({ frames, segments });
}

function parseFrame(frame: Buffer, atUs: number): CapturedSegment | undefined {
  if (frame.length < 14) return undefined;
  const packet = frame.subarray(14);
  switch (frame.readUInt16BE(12)) {
    case ETHERTYPE.ipv4:
      return parseIpv4(packet, atUs);
    case ETHERTYPE.ipv6:
      return parseIpv6(packet, atUs);
    default:
      return undefined;
  }
}

function parseIpv4(packet: Buffer, atUs: number): CapturedSegment | undefined {
  if (packet.length < 20 || packet[9] !== PROTOCOL_TCP) return undefined;
  const headerBytes = ((packet[0] ?? 0) & 0x0f) * 4;
  // The total length cuts off Ethernet padding, which would look like payload.
  const end = Math.min(packet.length, packet.readUInt16BE(2) || packet.length);
  return parseTcp(packet.subarray(headerBytes, end), packet.subarray(12, 16), packet.subarray(16, 20), atUs);
}

function parseIpv6(packet: Buffer, atUs: number): CapturedSegment | undefined {
  if (packet.length < 40 || packet[6] !== PROTOCOL_TCP) return undefined;
  const end = Math.min(packet.length, 40 + packet.readUInt16BE(4));
  return parseTcp(packet.subarray(40, end), packet.subarray(8, 24), packet.subarray(24, 40), atUs);
}

function parseTcp(segment: Buffer, source: Buffer, destination: Buffer, atUs: number): CapturedSegment | undefined {
  if (segment.length < 20) return undefined;
  const from = ipFromBytes(source);
  const to = ipFromBytes(destination);
  if (!from.ok || !to.ok) return undefined;
  return {
    atUs,
    source: from.value,
    sourcePort: segment.readUInt16BE(0),
    destination: to.value,
    destinationPort: segment.readUInt16BE(2),
    payload: segment.subarray(((segment[12] ?? 0) >> 4) * 4),
  };
}
