import * as dnsPacket from "dns-packet";
import { err, ok, type Result } from "../errors/index.ts";
import { type IpAddress, isIpv4 } from "../net/index.ts";

/** RFC 1035 4.1.1 and RFC 6895. */
export const Rcode = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
export type RcodeName = keyof typeof Rcode;

/** One question as a client asked it. */
export interface DnsQuery {
  readonly id: number;
  /** Without trailing dot, in the case it was asked. */
  readonly name: string;
  /** `A`, `AAAA`, `MX`, ... or `UNKNOWN_n`. */
  readonly type: string;
  readonly recursionDesired: boolean;
  /** Present when the client spoke EDNS. */
  readonly edns?: { readonly payloadBytes: number; readonly dnssecOk: boolean };
}

/** Why a message got no further; `id` is 0 where not even that could be read, and then nothing is answered. */
export interface DnsFault {
  readonly id: number;
  readonly rcode: RcodeName;
  readonly reason: string;
}

export type DnsAnswerRecord =
  | { readonly kind: "address"; readonly name: string; readonly ip: IpAddress }
  | { readonly kind: "alias"; readonly name: string; readonly target: string }
  | { readonly kind: "pointer"; readonly name: string; readonly target: string }
  | { readonly kind: "service"; readonly name: string; readonly target: string; readonly port: number };

export interface DnsReply {
  readonly rcode: RcodeName;
  readonly records: readonly DnsAnswerRecord[];
  readonly ttlSeconds: number;
}

const HEADER_BYTES = 12;
const FLAG = { QR: 0x8000, AA: 0x0400, TC: 0x0200, RD: 0x0100, RA: 0x0080 } as const;
const MIN_UDP_BYTES = 512;
const DNSSEC_OK = 0x8000;

/**
 * Reads one question. Total: hostile bytes (forward or looping compression pointers, names over 255 bytes, several
 * questions, truncated records) give a fault, never a throw.
 *
 * Spec: RFC 1035 4.1, RFC 6891
 */
export function decodeQuery(message: Buffer): Result<DnsQuery, DnsFault> {
  if (message.length < HEADER_BYTES)
    return err({ id: 0, rcode: "FORMERR", reason: `expected 12 header bytes, got ${message.length}` });
  const id = message.readUInt16BE(0);
  const flags = message.readUInt16BE(2);
  const fault = (rcode: RcodeName, reason: string): Result<DnsQuery, DnsFault> => err({ id, rcode, reason });
  if (flags & FLAG.QR) return fault("FORMERR", "expected a query, got a response");
  if ((flags >> 11) & 0xf) return fault("NOTIMP", `expected opcode 0, got ${(flags >> 11) & 0xf}`);
  if (message.readUInt16BE(4) !== 1) return fault("FORMERR", `expected one question, got ${message.readUInt16BE(4)}`);
  const packet = decodeQuietly(message);
  const question = packet?.questions?.[0];
  if (!packet || !question) return fault("FORMERR", "the question could not be read");
  const opt = packet.additionals?.find((record) => record.type === "OPT");
  return ok({
    id,
    name: question.name === "." ? "" : question.name,
    type: question.type,
    recursionDesired: (flags & FLAG.RD) !== 0,
    ...(opt?.type === "OPT"
      ? { edns: { payloadBytes: opt.udpPayloadSize, dnssecOk: (opt.flags & DNSSEC_OK) !== 0 } }
      : {}),
  });
}

function decodeQuietly(message: Buffer): dnsPacket.DecodedPacket | undefined {
  try {
    return dnsPacket.decode(message);
  } catch {
    // The library throws on anything malformed; for us that is an ordinary answer.
    return undefined;
  }
}

/** Our own answer to a query, with AA and RA set; over UDP cut to what the client takes, with TC when something is left out. */
export function encodeReply(query: DnsQuery, reply: DnsReply, transport: "udp" | "tcp"): Buffer {
  const limit = transport === "tcp" ? 65_535 : Math.max(MIN_UDP_BYTES, query.edns?.payloadBytes ?? MIN_UDP_BYTES);
  let records = reply.records;
  let message = encode(query, { ...reply, records }, false);
  while (message.length > limit && records.length > 0) {
    records = records.slice(0, Math.floor((records.length * limit) / message.length) - 1);
    message = encode(query, { ...reply, records: records.slice() }, true);
  }
  return message;
}

function encode(query: DnsQuery, reply: DnsReply, truncated: boolean): Buffer {
  const flags =
    FLAG.AA | FLAG.RA | (query.recursionDesired ? FLAG.RD : 0) | (truncated ? FLAG.TC : 0) | Rcode[reply.rcode];
  const packet: dnsPacket.Packet = {
    type: "response",
    id: query.id,
    flags,
    questions: [{ name: query.name, type: query.type as dnsPacket.RecordType }],
    answers: reply.records.map((record) => answerOf(record, reply.ttlSeconds)),
  };
  if (query.edns) packet.additionals = [optOf(query.edns)];
  return dnsPacket.encode(packet);
}

function answerOf(record: DnsAnswerRecord, ttl: number): dnsPacket.Answer {
  const { name } = record;
  switch (record.kind) {
    case "alias":
      return { type: "CNAME", name, ttl, data: record.target };
    case "pointer":
      return { type: "PTR", name, ttl, data: record.target };
    case "service":
      return { type: "SRV", name, ttl, data: { target: record.target, port: record.port, priority: 0, weight: 1 } };
    case "address":
      return { type: isIpv4(record.ip) ? "A" : "AAAA", name, ttl, data: record.ip };
  }
}

function optOf(edns: NonNullable<DnsQuery["edns"]>): dnsPacket.OptAnswer {
  const udpPayloadSize = Math.max(MIN_UDP_BYTES, edns.payloadBytes);
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: edns.dnssecOk ? DNSSEC_OK : 0,
    flag_do: edns.dnssecOk,
    options: [],
  };
}

/** A header-only answer to something that could not be read; undefined when it must not be answered at all. */
export function encodeFault(fault: DnsFault): Buffer | undefined {
  if (fault.id === 0) return undefined;
  const message = Buffer.alloc(HEADER_BYTES);
  message.writeUInt16BE(fault.id, 0);
  message.writeUInt16BE(FLAG.QR | FLAG.RA | Rcode[fault.rcode], 2);
  return message;
}

/**
 * Whether `response` answers the query we sent: a response, our id, and the same question byte for byte (letter case
 * included, which makes forging harder). The question follows the header uncompressed, so bytes can be compared.
 */
export function answersQuery(sent: Buffer, response: Buffer): boolean {
  const questionEnd = endOfQuestion(sent);
  if (response.length < questionEnd || (response.readUInt16BE(2) & FLAG.QR) === 0) return false;
  const sameId = response.readUInt16BE(0) === sent.readUInt16BE(0);
  return sameId && response.subarray(HEADER_BYTES, questionEnd).equals(sent.subarray(HEADER_BYTES, questionEnd));
}

function endOfQuestion(message: Buffer): number {
  let at = HEADER_BYTES;
  while (at < message.length && message[at] !== 0) at += (message[at] ?? 0) + 1;
  return Math.min(message.length, at + 5);
}

/** A copy of the message under another id. */
export function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** The response code of a message, as a name; numbers without one are given as text. */
export function rcodeOf(message: Buffer): string {
  const code = message.length >= HEADER_BYTES ? message.readUInt16BE(2) & 0xf : Rcode.FORMERR;
  return Object.entries(Rcode).find(([, value]) => value === code)?.[0] ?? `RCODE${code}`;
}
