import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { FRAME_HEADER_BYTES } from "../api.ts";
import { decodeGoaway, decodeRstStream, decodeSettings, decodeWindowUpdate, headerFragment } from "./decode-payload.ts";
import { encodeFrame, encodeGoaway, encodeHeaderFrames, encodeSettings, writeDataHeader } from "./encode-frame.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { Flag, FrameType } from "./frame-type.ts";

/** What a reader reported, DATA joined, so that runs with different chunks compare. */
class Recorder implements FrameSink {
  readonly frames: { type: number; flags: number; streamId: number; payload: string }[] = [];
  faults = 0;
  parts = 0;
  #data: Buffer[] = [];
  #streamId = 0;
  #flow = 0;

  onDataStart(streamId: number, flowBytes: number): void {
    this.#streamId = streamId;
    this.#flow = flowBytes;
    this.#data = [];
  }
  onDataBytes(bytes: Buffer): void {
    this.parts++;
    this.#data.push(Buffer.from(bytes));
  }
  onDataEnd(endStream: boolean, paddingBytes: number): void {
    const payload = Buffer.concat(this.#data);
    expect(payload.length + paddingBytes).toBe(this.#flow);
    const flags = endStream ? 1 : 0;
    this.frames.push({ type: 0, flags, streamId: this.#streamId, payload: payload.toString("hex") });
  }
  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void {
    this.frames.push({ type, flags, streamId, payload: payload.toString("hex") });
  }
  onReaderFault(): void {
    this.faults++;
  }
}

const LIMITS = { maxFrameBytes: 16_384, maxHeldBytes: 8192 };

function read(bytes: Buffer, cuts: readonly number[]): Recorder {
  const recorder = new Recorder();
  const reader = new FrameReader(recorder, LIMITS);
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...places, bytes.length]) {
    reader.push(bytes.subarray(from, to));
    from = to;
  }
  return recorder;
}

const frame = fc.record({
  type: fc.integer({ min: 0, max: 12 }),
  flags: fc.integer({ min: 0, max: 255 }),
  streamId: fc.integer({ min: 0, max: 0x7fff_ffff }),
  payload: fc.uint8Array({ maxLength: 300 }),
});
const cuts = fc.array(fc.nat(), { maxLength: 30 });

describe("the frame reader", () => {
  it("finds the same frames however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), cuts, (frames, places) => {
        const bytes = Buffer.concat(frames.map((f) => encodeFrame(f.type, f.flags, f.streamId, f.payload)));
        const whole = read(bytes, []);
        const cut = read(bytes, places);
        expect(cut.frames).toEqual(whole.frames);
        expect(cut.faults).toBe(whole.faults);
      }),
      { numRuns: 500 },
    );
  });

  it("reports what was written", () => {
    const unpadded = frame.map((f) => ({ ...f, flags: f.flags & ~Flag.PADDED }));
    fc.assert(
      fc.property(fc.array(unpadded, { maxLength: 12 }), cuts, (frames, places) => {
        const bytes = Buffer.concat(frames.map((f) => encodeFrame(f.type, f.flags, f.streamId, f.payload)));
        const expected = frames.map((f) => ({
          ...f,
          flags: f.type === FrameType.DATA ? f.flags & 1 : f.flags,
          payload: f.type > FrameType.CONTINUATION ? "" : Buffer.from(f.payload).toString("hex"),
        }));
        expect(read(bytes, places).frames).toEqual(expected);
      }),
    );
  });

  it("survives any bytes, and stops at the first fault", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), cuts, (bytes, places) => {
        expect(read(Buffer.from(bytes), places).faults).toBeLessThanOrEqual(1);
      }),
      { numRuns: 2000 },
    );
  });

  it("does not copy DATA", () => {
    const bytes = encodeFrame(FrameType.DATA, 0, 1, Buffer.alloc(100, 7));
    const seen: Buffer[] = [];
    const sink = new Recorder();
    sink.onDataBytes = (part) => seen.push(part);
    sink.onDataEnd = () => {};
    new FrameReader(sink, LIMITS).push(bytes);
    expect(seen[0]?.buffer).toBe(bytes.buffer);
    expect(seen[0]?.byteOffset).toBe(bytes.byteOffset + FRAME_HEADER_BYTES);
  });

  it.each([
    ["case 27: a frame above our maximum", Buffer.from("00400100000000000100", "hex")],
    ["a HEADERS frame larger than we hold", Buffer.from("002001010000000001", "hex")],
    ["padded DATA of length 0", Buffer.from("000000000800000001", "hex")],
    ["padding that does not fit", Buffer.from("00000200080000000102ff", "hex")],
  ])("faults on %s", (_, bytes) => {
    expect(read(bytes, []).faults).toBe(1);
  });

  it("says nothing more after `stop`, even within a chunk", () => {
    const bytes = Buffer.concat([encodeFrame(6, 0, 0, Buffer.alloc(8)), encodeFrame(6, 0, 0, Buffer.alloc(8))]);
    const recorder = new Recorder();
    const reader: FrameReader = new FrameReader(recorder, LIMITS);
    recorder.onFrame = (type, flags, streamId) => {
      recorder.frames.push({ type, flags, streamId, payload: "" });
      reader.stop();
    };
    reader.push(bytes);
    expect(recorder.frames).toHaveLength(1);
  });
});

describe("frame payloads", () => {
  it("are decoded totally", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 500 }), (flags, bytes) => {
        const payload = Buffer.from(bytes);
        const all = [decodeGoaway, decodeRstStream, decodeSettings, decodeWindowUpdate].map((of) => of(payload).ok);
        expect([...all, headerFragment(flags, payload).ok].every((ok) => typeof ok === "boolean")).toBe(true);
      }),
    );
  });

  it("round-trip SETTINGS and GOAWAY", () => {
    const settings = fc.array(fc.tuple(fc.nat(0xffff), fc.nat(0xffff_ffff)), { maxLength: 64 });
    fc.assert(
      fc.property(settings, (values) => {
        expect(decodeSettings(encodeSettings(values).subarray(9))).toEqual({ ok: true, value: values });
      }),
    );
    expect(decodeGoaway(encodeGoaway(7, 11, "calm\ndown").subarray(9))).toEqual({
      ok: true,
      value: { lastStreamId: 7, code: 11, debug: "calm?down" },
    });
  });

  it("refuses SETTINGS with absurdly many values", () => {
    const decoded = decodeSettings(Buffer.alloc(65 * 6));
    expect(!decoded.ok && decoded.error.code).toBe(11);
  });

  it("strips padding and priority from HEADERS", () => {
    const padded = Buffer.from([2, 0, 0, 0, 0, 16, 0x82, 0x84, 0, 0]);
    expect(headerFragment(Flag.PADDED | Flag.PRIORITY, padded)).toEqual({ ok: true, value: Buffer.from([0x82, 0x84]) });
    const broken = headerFragment(Flag.PADDED, Buffer.from([5, 0x82]));
    expect(!broken.ok && broken.error.code).toBe(1);
  });
});

describe("frame encoding", () => {
  it("writes the DATA header into the headroom", () => {
    const target = Buffer.alloc(12);
    writeDataHeader(target, 0x012345, 0x01020304, true);
    expect(target.toString("hex")).toBe("01234500010102030400".padEnd(24, "0"));
  });

  it("cuts a long header block into HEADERS and CONTINUATION", () => {
    const frames = encodeHeaderFrames([["x", "y".repeat(40_000)]], {
      streamId: 3,
      endStream: true,
      maxFrameBytes: 16_384,
      firstBlock: false,
    });
    const recorder = new Recorder();
    new FrameReader(recorder, { maxFrameBytes: 16_384, maxHeldBytes: 16_384 }).push(frames);
    expect(recorder.frames.map((f) => [f.type, f.flags])).toEqual([
      [FrameType.HEADERS, Flag.END_STREAM],
      [FrameType.CONTINUATION, 0],
      [FrameType.CONTINUATION, Flag.END_HEADERS],
    ]);
  });
});
