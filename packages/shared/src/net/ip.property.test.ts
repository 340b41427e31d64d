import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { type IpAddress, ipBits, ipFromBytes, ipToBytes, parseIp } from "./index.ts";
import { bitsOfBytes } from "./ip-bits.ts";

const v4Bytes = fc.uint8Array({ minLength: 4, maxLength: 4 });
const v6Bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
const bytes = fc.oneof(v4Bytes, v6Bytes);

const unwrap = (raw: Uint8Array): IpAddress => {
  const ip = ipFromBytes(raw);
  if (!ip.ok) throw new Error(ip.error);
  return ip.value;
};

describe("IP addresses", () => {
  it("survive the way to bytes and back", () => {
    fc.assert(fc.property(bytes, (raw) => expect(unwrap(ipToBytes(unwrap(raw)))).toBe(unwrap(raw))));
  });

  it("survive the way to text and back", () => {
    fc.assert(fc.property(bytes, (raw) => expect(parseIp(unwrap(raw))).toEqual({ ok: true, value: unwrap(raw) })));
  });

  it("case 49: IPv4-mapped IPv6 is the IPv4 address, from bytes and from text", () => {
    fc.assert(
      fc.property(v4Bytes, (raw) => {
        const mapped = Uint8Array.from([...new Array<number>(10).fill(0), 0xff, 0xff, ...raw]);
        expect(unwrap(mapped)).toBe(unwrap(raw));
        expect(parseIp(`::ffff:${unwrap(raw)}`)).toEqual({ ok: true, value: unwrap(raw) });
      }),
    );
  });

  it.each(["fe80::1%eth0", "::ffff:127.0.0.1%lo", "010.0.0.1", "10.1", "1.2.3.4.5", "", ":", "::1::", "0x7f.1"])(
    "case 49: %j is no address",
    (text) => expect(parseIp(text).ok).toBe(false),
  );

  it("case 49: ::ffff:127.0.0.1 is 127.0.0.1", () => {
    expect(parseIp("::ffff:127.0.0.1")).toEqual({ ok: true, value: "127.0.0.1" });
    expect(parseIp("::FFFF:7F00:1")).toEqual({ ok: true, value: "127.0.0.1" });
  });

  it("never throws on text", () => {
    fc.assert(fc.property(fc.string(), (text) => expect(typeof parseIp(text).ok).toBe("boolean")));
  });

  it("have the same bits from text as from bytes", () => {
    fc.assert(fc.property(bytes, (raw) => expect(ipBits(unwrap(raw))).toBe(bitsOfBytes(ipToBytes(unwrap(raw))))));
  });
});
