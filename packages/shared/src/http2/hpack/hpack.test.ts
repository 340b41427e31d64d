import { describe, expect, it } from "@jest/globals";
import type { HeaderList } from "../api.ts";
import { HpackDecoder } from "./decoder.ts";
import { encodeHeaderBlock } from "./encoder.ts";
import { decodeHuffman, encodeHuffman } from "./huffman.ts";
import { HUFFMAN_CODES } from "./huffman-code.ts";
import { STATIC_TABLE } from "./static-table.ts";

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ""), "hex");
const decoder = (tableBytes = 4096, listBytes = 65_536) => new HpackDecoder(tableBytes, listBytes);
const headersOf = (from: HpackDecoder, block: string): HeaderList => {
  const decoded = from.decode(hex(block));
  if (!decoded.ok) throw new Error(decoded.error);
  return decoded.value.headers;
};
const errorOf = (from: HpackDecoder, block: string): string => {
  const decoded = from.decode(hex(block));
  return decoded.ok ? "" : decoded.error;
};

const request1: HeaderList = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "www.example.com"],
];
const request2: HeaderList = [...request1, ["cache-control", "no-cache"]];
const request3: HeaderList = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/index.html"],
  [":authority", "www.example.com"],
  ["custom-key", "custom-value"],
];
const response1: HeaderList = [
  [":status", "302"],
  ["cache-control", "private"],
  ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
  ["location", "https://www.example.com"],
];
const response2: HeaderList = [[":status", "307"], ...response1.slice(1)];
const response3: HeaderList = [
  [":status", "200"],
  ["cache-control", "private"],
  ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
  ["location", "https://www.example.com"],
  ["content-encoding", "gzip"],
  ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
];

describe("HPACK vectors of RFC 7541 appendix C", () => {
  it.each<[string, string, HeaderList]>([
    [
      "C.2.1 literal with indexing",
      "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      [["custom-key", "custom-header"]],
    ],
    ["C.2.2 literal without indexing", "040c 2f73 616d 706c 652f 7061 7468", [[":path", "/sample/path"]]],
    ["C.2.3 literal never indexed", "1008 7061 7373 776f 7264 0673 6563 7265 74", [["password", "secret"]]],
    ["C.2.4 indexed", "82", [[":method", "GET"]]],
  ])("%s", (_, block, expected) => {
    expect(headersOf(decoder(), block)).toEqual(expected);
  });

  it("C.3 requests without Huffman", () => {
    const from = decoder();
    expect(headersOf(from, "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d")).toEqual(request1);
    expect(headersOf(from, "8286 84be 5808 6e6f 2d63 6163 6865")).toEqual(request2);
    expect(headersOf(from, "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65")).toEqual(
      request3,
    );
  });

  it("C.4 requests with Huffman", () => {
    const from = decoder();
    expect(headersOf(from, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff")).toEqual(request1);
    expect(headersOf(from, "8286 84be 5886 a8eb 1064 9cbf")).toEqual(request2);
    expect(headersOf(from, "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")).toEqual(request3);
  });

  it("C.5 responses without Huffman, with eviction from a table of 256 bytes", () => {
    const from = decoder(256);
    const first =
      "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d" +
      "546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d";
    expect(headersOf(from, first)).toEqual(response1);
    expect(headersOf(from, "4803 3330 37c1 c0bf")).toEqual(response2);
    const third =
      "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f" +
      "6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b" +
      "2076 6572 7369 6f6e 3d31";
    expect(headersOf(from, third)).toEqual(response3);
  });

  it("C.6 responses with Huffman, with eviction from a table of 256 bytes", () => {
    const from = decoder(256);
    const first =
      "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7" +
      "8f0b 97c8 e9ae 82ae 43d3";
    expect(headersOf(from, first)).toEqual(response1);
    expect(headersOf(from, "4883 640e ffc1 c0bf")).toEqual(response2);
    const third =
      "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335" +
      "dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07";
    expect(headersOf(from, third)).toEqual(response3);
  });
});

describe("the Huffman code", () => {
  it("is complete and prefix-free: its lengths use the code space exactly", () => {
    const used = HUFFMAN_CODES.reduce((sum, { bits }) => sum + 2 ** (30 - bits), 0);
    expect(used).toBe(2 ** 30);
  });

  it.each([
    [48, 0x0, 5],
    [97, 0x3, 5],
    [32, 0x14, 6],
    [58, 0x5c, 7],
    [38, 0xf8, 8],
    [33, 0x3f8, 10],
    [39, 0x7fa, 11],
    [0, 0x1ff8, 13],
    [92, 0x7fff0, 19],
    [195, 0x7fff1, 19],
    [128, 0xfffe6, 20],
    [9, 0xffffea, 24],
    [199, 0x1ffffec, 25],
    [255, 0x3ffffee, 26],
    [1, 0x7fffd8, 23],
    [10, 0x3ffffffc, 30],
    [256, 0x3fffffff, 30],
  ])("gives symbol %i the code %i of %i bits", (symbol, code, bits) => {
    expect(HUFFMAN_CODES[symbol]).toEqual({ symbol, code, bits });
  });

  it.each([
    ["EOS inside", "ffffffff"],
    ["eight bits of padding", "1fff"],
    ["padding with a zero bit", "18"],
  ])("refuses %s", (_, block) => {
    expect(decodeHuffman(hex(block), 0, hex(block).length, Buffer.alloc(64))).toBe(-1);
  });

  it("decodes every byte", () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const coded = encodeHuffman(all);
    const target = Buffer.alloc(2048);
    const length = decodeHuffman(coded, 0, coded.length, target);
    expect(target.subarray(0, length)).toEqual(all);
  });
});

describe("the HPACK decoder", () => {
  it.each([
    ["index 0", "80", "index 0"],
    ["an index above the table", "be", "index 62"],
    ["an integer that does not end", "ff", "does not end"],
    ["an integer of too many bytes", "ffffffffffff00", "more than five bytes"],
    ["a text longer than the block", "400a61", "longer than its block"],
    ["a missing value", "4001 61", "does not begin"],
    ["invalid Huffman padding", "4081 1801 61", "Huffman"],
    ["a table size update after a field", "82 20", "after the first field"],
    ["a table size above ours", "3fe21f", "at most 4096"],
  ])("refuses %s", (_, block, message) => {
    expect(errorOf(decoder(), block)).toContain(message);
  });

  it("case 21: a table size update shrinks the table and evicts", () => {
    const from = decoder();
    headersOf(from, "4001 6101 62");
    expect(headersOf(from, "be")).toEqual([["a", "b"]]);
    expect(headersOf(from, "20 82")).toEqual([[":method", "GET"]]);
    expect(errorOf(from, "be")).toContain("index 62");
  });

  it("case 21: decoded bytes count, so references to one big entry cannot multiply a small block", () => {
    const from = decoder(4096, 16_384);
    // A name of one byte and a value of 4000 (7f a1 1e) put into the table.
    const big = `4001 61 7fa11e ${"62".repeat(4000)}`;
    headersOf(from, big);
    const bomb = from.decode(Buffer.alloc(50_000, 0xbe));
    expect(bomb.ok && bomb.value.tooLarge).toBe(true);
    expect(bomb.ok && bomb.value.headers.length).toBe(4);
    // The connection's state is still whole.
    expect(headersOf(from, "82")).toEqual([[":method", "GET"]]);
  });

  it("case 21: many never-indexed one-byte names pass only up to the limit", () => {
    const block = Buffer.from("100161 0162".replace(/\s/g, "").repeat(10_000), "hex");
    const decoded = decoder(4096, 16_384).decode(block);
    expect(decoded.ok && decoded.value.tooLarge).toBe(true);
    expect(decoded.ok && decoded.value.headers.length).toBe(Math.floor(16_384 / 34));
  });
});

describe("the HPACK encoder", () => {
  it("uses the static table and announces an empty dynamic one first", () => {
    expect(encodeHeaderBlock([[":status", "200"]], true)).toEqual(hex("2088"));
    expect(encodeHeaderBlock([[":method", "CONNECT"]], false)).toEqual(hex("02 07 434f4e4e454354"));
    expect(encodeHeaderBlock([["x", "y"]], false)).toEqual(hex("00 01 78 01 79"));
  });

  it("has a static table of 61 entries", () => {
    expect(STATIC_TABLE).toHaveLength(61);
  });
});
