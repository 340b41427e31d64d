import { Duplex } from "node:stream";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { encodeFrame, encodeHeaderFrames, encodeSettings } from "../frames/encode-frame.ts";
import { CLIENT_PREFACE } from "../frames/frame-type.ts";
import { createH2Session, defaultH2Options, type H2Stream, type H2StreamHandlers } from "../index.ts";

/** A transport whose other end is the test: what is pushed is read, what is written is thrown away. */
function sinkTransport(): Duplex {
  return new Duplex({
    read() {},
    write: (_chunk, _encoding, done) => done(),
    final: (done) => done(),
  });
}

/** Checks the order of calls that every owner relies on. */
class StrictOwner implements H2StreamHandlers {
  closes = 0;
  ends = 0;
  stream: H2Stream | undefined;
  readonly behaviour: number;

  constructor(behaviour: number) {
    this.behaviour = behaviour;
  }
  onHeaders(): void {
    this.#live();
  }
  onData(chunk: Buffer): void {
    this.#live();
    if (this.ends > 0) throw new Error("DATA after the end");
    if (this.behaviour === 1) this.stream?.consume(chunk.length * 2);
    if (this.behaviour === 2) this.stream?.reset(8);
    if (this.behaviour === 3) throw new TypeError("an owner's bug");
    if (this.behaviour === 4) this.stream?.writeFramed(Buffer.alloc(9 + 70_000));
  }
  onEnd(): void {
    this.#live();
    this.ends++;
    if (this.behaviour !== 5) this.stream?.end();
  }
  onDrain(): void {
    this.#live();
  }
  onClose(): void {
    this.closes++;
  }
  #live(): void {
    if (this.closes > 0) violations.push("a call after onClose");
  }
}
const violations: string[] = [];

const id = fc.constantFrom(0, 1, 1, 1, 3, 3, 5, 2, 7, 0x7fffffff);
const anyFrame = fc
  .record({
    type: fc.integer({ min: 0, max: 11 }),
    flags: fc.constantFrom(0, 1, 4, 5, 8, 0x20, 0x2d),
    streamId: id,
    payload: fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(new Uint8Array(4), new Uint8Array(8))),
  })
  .map((f) => encodeFrame(f.type, f.flags, f.streamId, f.payload));
const request = fc.record({ streamId: id, endStream: fc.boolean() }).map(({ streamId, endStream }) =>
  encodeHeaderFrames(
    [
      [":method", "CONNECT"],
      [":authority", "a:1"],
    ],
    { streamId, endStream, maxFrameBytes: 16_384, firstBlock: false },
  ),
);
const data = fc
  .record({ streamId: id, endStream: fc.boolean(), size: fc.nat(2000) })
  .map(({ streamId, endStream, size }) => encodeFrame(0, endStream ? 1 : 0, streamId, new Uint8Array(size)));
const script = fc.record({
  frames: fc.array(fc.oneof({ weight: 3, arbitrary: request }, { weight: 3, arbitrary: data }, anyFrame), {
    maxLength: 30,
  }),
  chunk: fc.integer({ min: 1, max: 4000 }),
  behaviours: fc.array(fc.nat(6), { minLength: 1, maxLength: 5 }),
});

describe("a server session", () => {
  it("keeps its promises to owners whatever frames come, in whatever pieces", async () => {
    await fc.assert(
      fc.asyncProperty(script, async ({ frames, chunk, behaviours }) => {
        const owners: StrictOwner[] = [];
        let sessionCloses = 0;
        const transport = sinkTransport();
        const session = createH2Session("server", transport, defaultH2Options, {
          onRequest(stream) {
            const owner = new StrictOwner(behaviours[owners.length % behaviours.length] ?? 0);
            owner.stream = stream;
            owners.push(owner);
            stream.sendHeaders([[":status", "200"]], false);
            if (owner.behaviour === 6) stream.reset(7);
            return owner;
          },
          onClose() {
            sessionCloses++;
            for (const { closes } of owners) if (closes !== 1) violations.push("session closed before its stream");
          },
        });
        const bytes = Buffer.concat([CLIENT_PREFACE, encodeSettings([]), ...frames]);
        for (let at = 0; at < bytes.length; at += chunk) transport.push(bytes.subarray(at, at + chunk));
        await new Promise((resolve) => setImmediate(resolve));
        session.destroy();
        expect(sessionCloses).toBe(1);
        expect(owners.map(({ closes }) => closes)).toEqual(owners.map(() => 1));
        expect(session.activeStreams).toBe(0);
        expect(violations).toEqual([]);
        transport.destroy();
      }),
      { numRuns: 400 },
    );
  });
});
