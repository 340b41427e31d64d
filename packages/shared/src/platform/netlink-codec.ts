/** Netlink messages: header, fixed part, attributes. Pure. Source: linux/netlink.h; numbers are in host order, little endian here. */
import { errnoName } from "./errno.ts";

export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

const HEADER_BYTES = 16;
const NLMSG_ERROR = 2;
const NLA_TYPE_MASK = 0x3fff;

/** One request; `body` is the fixed part (a multiple of four bytes) followed by attributes. */
export function netlinkMessage(type: number, flags: number, ...body: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(HEADER_BYTES + body.reduce((sum, part) => sum + part.length, 0), 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(NLM_F_REQUEST | flags, 6);
  header.writeUInt32LE(1, 8);
  return Buffer.concat([header, ...body]);
}

/** One attribute, padded to four bytes. A list of attributes as value makes a nested one. */
export function netlinkAttribute(type: number, value: Uint8Array | readonly Uint8Array[]): Buffer {
  const payload = value instanceof Uint8Array ? value : Buffer.concat(value);
  const attribute = Buffer.alloc((4 + payload.length + 3) & ~3);
  attribute.writeUInt16LE(4 + payload.length, 0);
  attribute.writeUInt16LE(type, 2);
  attribute.set(payload, 4);
  return attribute;
}

/** A 32-bit number in host order as attribute. */
export function netlinkNumber(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return netlinkAttribute(type, bytes);
}

/** The errno an acknowledgement carries: 0 = done. `undefined` when the answer is not an acknowledgement. */
export function netlinkErrno(answer: Buffer): number | undefined {
  if (answer.length < HEADER_BYTES + 4 || answer.readUInt16LE(4) !== NLMSG_ERROR) return undefined;
  return -answer.readInt32LE(HEADER_BYTES) || 0;
}

/** The same as a name (`EEXIST`), "" when done. */
export function netlinkErrorName(answer: Buffer): string {
  const errno = netlinkErrno(answer);
  if (errno === undefined) return "no acknowledgement";
  return errno === 0 ? "" : errnoName(errno);
}

/** The value of an attribute behind a fixed part of `fixedBytes`. Total: undefined on anything cut short. */
export function findNetlinkAttribute(answer: Buffer, fixedBytes: number, type: number): Buffer | undefined {
  let at = HEADER_BYTES + fixedBytes;
  while (at + 4 <= answer.length) {
    const length = answer.readUInt16LE(at);
    if (length < 4 || at + length > answer.length) return undefined;
    if ((answer.readUInt16LE(at + 2) & NLA_TYPE_MASK) === type) return answer.subarray(at + 4, at + length);
    at += (length + 3) & ~3;
  }
  return undefined;
}
