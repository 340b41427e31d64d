import type { IpAddress } from "./ip.ts";

/** An address as a number, for masks and tables: a `number` below 2^32 is IPv4, a `bigint` below 2^128 is IPv6. */
export type IpBits = number | bigint;

/** Cheaper than parsing: relies on the canonical text form of `IpAddress`. */
export function ipBits(ip: IpAddress): IpBits {
  return ip.includes(":") ? v6Bits(ip) : v4Bits(ip);
}

export function bitsOfBytes(bytes: Uint8Array): IpBits {
  if (bytes.length !== 4) return bytes.reduce((bits, byte) => (bits << 8n) | BigInt(byte), 0n);
  return bytes.reduce((bits, byte) => bits * 256 + byte, 0);
}

function v4Bits(text: string): number {
  let bits = 0;
  let octet = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 46) {
      bits = bits * 256 + octet;
      octet = 0;
    } else {
      octet = octet * 10 + code - 48;
    }
  }
  return bits * 256 + octet;
}

function v6Bits(text: string): bigint {
  const gap = text.indexOf("::");
  const head = groups(gap < 0 ? text : text.slice(0, gap));
  const tail = groups(gap < 0 ? "" : text.slice(gap + 2));
  const zeros = "0000".repeat(8 - (head.length + tail.length) / 4);
  return BigInt(`0x${head}${zeros}${tail}`);
}

const groups = (text: string): string =>
  text === ""
    ? ""
    : text
        .split(":")
        .map((group) => group.padStart(4, "0"))
        .join("");
