import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { ipFromBytes } from "../net/index.ts";
import { decodeSockaddr, encodeLinkAddress, encodeSockaddr } from "./sockaddr.ts";

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const addresses = fc.record({
  ip: fc.oneof(bytes(4), bytes(16)).map((raw) => {
    const ip = ipFromBytes(raw);
    if (!ip.ok) throw new Error(ip.error);
    return ip.value;
  }),
  port: fc.nat(65_535),
});

describe("socket addresses", () => {
  it("decode to what was encoded, for every address and port", () => {
    fc.assert(
      fc.property(addresses, (address) => {
        expect(decodeSockaddr(encodeSockaddr(address))).toEqual({ ok: true, value: address });
      }),
    );
  });

  it("never throw on arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (raw) => {
        expect(typeof decodeSockaddr(raw).ok).toBe("boolean");
      }),
    );
  });

  it("have the kernel's layout", () => {
    const v4 = ipFromBytes(Uint8Array.of(10, 1, 2, 3));
    if (!v4.ok) throw new Error(v4.error);
    expect(encodeSockaddr({ ip: v4.value, port: 0x1f90 }).toString("hex")).toBe("02001f900a0102030000000000000000");
    expect(encodeLinkAddress(7).toString("hex").slice(0, 16)).toBe("1100000307000000");
  });

  it("unwrap a v4-mapped IPv6 address, so that a dual-stack listener reports IPv4", () => {
    const raw = Buffer.alloc(28);
    raw.writeUInt16LE(10, 0);
    raw.writeUInt16BE(80, 2);
    raw.set([0xff, 0xff, 10, 0, 0, 9], 18);
    expect(decodeSockaddr(raw)).toEqual({ ok: true, value: { ip: "10.0.0.9", port: 80 } });
  });
});
