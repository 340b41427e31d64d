import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { HpackDecoder } from "./decoder.ts";
import { DynamicTable, entryBytes } from "./dynamic-table.ts";
import { encodeHeaderBlock } from "./encoder.ts";
import { decodeHuffman, encodeHuffman } from "./huffman.ts";

const latin1 = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const headers = fc.array(
  fc.tuple(fc.oneof(latin1, fc.constantFrom(":status", ":path", "cookie", "__proto__")), latin1),
  { maxLength: 40 },
);

describe("HPACK", () => {
  it("decodes what it encoded, any bytes", () => {
    fc.assert(
      fc.property(headers, fc.boolean(), (list, first) => {
        const decoded = new HpackDecoder(4096, 1_000_000).decode(encodeHeaderBlock(list, first));
        expect(decoded).toEqual({ ok: true, value: { headers: list, tooLarge: false } });
      }),
    );
  });

  it("never throws, whatever blocks come one after another", () => {
    const blocks = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 });
    fc.assert(
      fc.property(blocks, (all) => {
        const decoder = new HpackDecoder(200, 1000);
        for (const block of all) expect(typeof decoder.decode(Buffer.from(block)).ok).toBe("boolean");
      }),
      { numRuns: 2000 },
    );
  });

  it("never delivers more than the limit", () => {
    fc.assert(
      fc.property(headers, fc.integer({ min: 0, max: 2000 }), (list, limit) => {
        const decoded = new HpackDecoder(4096, limit).decode(encodeHeaderBlock(list, false));
        const total = list.reduce((sum, [name, value]) => sum + entryBytes(name, value), 0);
        if (!decoded.ok) throw new Error(decoded.error);
        const got = decoded.value.headers.reduce((sum, [name, value]) => sum + entryBytes(name, value), 0);
        expect(got).toBeLessThanOrEqual(limit);
        expect(decoded.value.tooLarge).toBe(total > limit);
      }),
    );
  });

  it("Huffman round-trips any text", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (text) => {
        const coded = encodeHuffman(text);
        const target = Buffer.alloc(Math.ceil((coded.length * 8) / 5));
        const length = decodeHuffman(coded, 0, coded.length, target);
        expect(target.subarray(0, length)).toEqual(Buffer.from(text));
      }),
    );
  });

  it("the dynamic table never holds more than its capacity", () => {
    const action = fc.oneof(
      fc.record({ add: fc.tuple(latin1, latin1) }),
      fc.record({ resize: fc.integer({ min: 0, max: 500 }) }),
    );
    fc.assert(
      fc.property(fc.array(action), (actions) => {
        const table = new DynamicTable(400);
        let capacity = 400;
        for (const step of actions) {
          if ("add" in step) table.add(...step.add);
          else {
            capacity = step.resize;
            table.resize(capacity);
          }
          let held = 0;
          for (let index = 0; index < table.length; index++) held += entryBytes(...(table.at(index) ?? ["", ""]));
          expect(table.sizeBytes).toBe(held);
          expect(held).toBeLessThanOrEqual(capacity);
        }
      }),
    );
  });
});
