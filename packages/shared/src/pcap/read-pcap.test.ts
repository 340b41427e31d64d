import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { readPcap } from "./index.ts";

function pcapOf(...frames: Buffer[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt32LE(1, 20);
  const records = frames.flatMap((frame) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(7, 0);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return [record, frame];
  });
  return Buffer.concat([header, ...records]);
}

function ipv4Frame(payload: string, padding = 0): Buffer {
  const frame = Buffer.alloc(14 + 20 + 20 + payload.length + padding);
  frame.writeUInt16BE(0x0800, 12);
  frame[14] = 0x45;
  frame.writeUInt16BE(40 + payload.length, 16);
  frame[23] = 6;
  Buffer.from([10, 0, 0, 1]).copy(frame, 26);
  Buffer.from([10, 0, 0, 2]).copy(frame, 30);
  frame.writeUInt16BE(40000, 34);
  frame.writeUInt16BE(15008, 36);
  frame[46] = 5 << 4;
  frame.write(payload, 54);
  return frame;
}

describe("readPcap", () => {
  it("finds TCP segments with addresses, ports and payload, without Ethernet padding", () => {
    const capture = readPcap(pcapOf(ipv4Frame("hello", 6), Buffer.alloc(20)));
    expect(capture.ok && capture.value.frames).toBe(2);
    const [segment] = capture.ok ? capture.value.segments : [];
    expect(segment).toMatchObject({
      source: "10.0.0.1",
      sourcePort: 40000,
      destination: "10.0.0.2",
      destinationPort: 15008,
    });
    expect(segment?.payload.toString()).toBe("hello");
  });

  it("keeps what came before a cut-off record", () => {
    const whole = pcapOf(ipv4Frame("one"), ipv4Frame("two"));
    const capture = readPcap(whole.subarray(0, whole.length - 3));
    expect(capture.ok && capture.value.segments.length).toBe(1);
  });

  it("never throws on arbitrary bytes behind a valid header", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        readPcap(Buffer.concat([pcapOf(), Buffer.from(bytes)]));
        readPcap(Buffer.from(bytes));
        readPcap(pcapOf(Buffer.from(bytes)));
      }),
    );
  });
});
