import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  findNetlinkAttribute,
  NLM_F_ACK,
  netlinkAttribute,
  netlinkErrno,
  netlinkErrorName,
  netlinkMessage,
  netlinkNumber,
} from "./netlink-codec.ts";

describe("netlink messages", () => {
  it("have the kernel's layout, attributes padded to four bytes", () => {
    const message = netlinkMessage(32, NLM_F_ACK, Buffer.alloc(4, 0xaa), netlinkAttribute(3, Buffer.from("lo\0")));
    expect(message.toString("hex")).toBe("1c000000200005000100000000000000aaaaaaaa070003006c6f0000");
  });

  it("find the attribute that was put in, whatever stands before it", () => {
    const attribute = fc.tuple(fc.integer({ min: 1, max: 200 }), fc.uint8Array({ maxLength: 30 }));
    fc.assert(
      fc.property(fc.array(attribute, { maxLength: 5 }), fc.nat(0xffff_ffff), (before, value) => {
        const others = before.map(([type, bytes]) => netlinkAttribute(type, bytes));
        const message = netlinkMessage(1, 0, Buffer.alloc(4), ...others, netlinkNumber(999, value));
        expect(findNetlinkAttribute(message, 4, 999)?.readUInt32LE(0)).toBe(value);
      }),
    );
  });

  it("never throw on arbitrary answers", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(200), (bytes, type) => {
        findNetlinkAttribute(Buffer.from(bytes), 4, type);
        netlinkErrno(Buffer.from(bytes));
      }),
    );
  });

  it("read an acknowledgement as an errno", () => {
    const acknowledgement = (code: number): Buffer => {
      const bytes = Buffer.alloc(20);
      bytes.writeUInt16LE(2, 4);
      bytes.writeInt32LE(code, 16);
      return bytes;
    };
    expect([netlinkErrno(acknowledgement(-17)), netlinkErrno(acknowledgement(0))]).toEqual([17, 0]);
    expect(netlinkErrorName(acknowledgement(-17))).toBe("EEXIST");
    expect(netlinkErrorName(acknowledgement(0))).toBe("");
    expect(netlinkErrorName(Buffer.alloc(3))).toBe("no acknowledgement");
  });
});
