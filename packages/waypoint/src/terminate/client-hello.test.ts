import { once } from "node:events";
import { duplexPair } from "node:stream";
import { connect } from "node:tls";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { MAX_HELLO_BYTES, readClientHello } from "./client-hello.ts";
import { clientHello, extension, handshake, records, serverName, upToExtensions } from "./test-client-hello.ts";

const read = (message: Buffer): unknown => readClientHello(records(message));

/** What a real client sends first. */
async function realHello(servername: string): Promise<Buffer> {
  const [near, far] = duplexPair();
  const socket = connect({ socket: near, servername, ALPNProtocols: ["h2", "http/1.1"] });
  socket.on("error", () => {});
  const [first] = (await once(far, "data")) as [Buffer];
  socket.destroy();
  near.destroy();
  far.destroy();
  return first;
}

describe("readClientHello", () => {
  it("reads what a real client sends", async () => {
    expect(readClientHello(await realHello("cart.example.com"))).toEqual({ kind: "hello", sni: "cart.example.com" });
    expect(readClientHello(await realHello(""))).toEqual({ kind: "hello" });
  });

  it("waits for the rest of a real one, however it is cut", async () => {
    const whole = await realHello("cart.example.com");
    for (let length = 0; length < whole.length; length++)
      expect(readClientHello(whole.subarray(0, length))).toEqual({ kind: "need-more" });
  });

  it("joins records, of a byte each if need be", () => {
    for (const size of [1, 2, 5, 100])
      expect(readClientHello(records(clientHello("a.b"), size))).toMatchObject({ sni: "a.b" });
  });

  it("allows a hello without extensions", () => {
    expect(read(handshake(Buffer.concat([...upToExtensions])))).toEqual({ kind: "hello" });
  });

  it.each([
    ["a name with a null byte", clientHello("cart\0.evil")],
    ["a name with a line feed", clientHello("cart\nevil")],
    ["a trailing dot", clientHello("cart.example.com.")],
    ["an empty name", clientHello("")],
    ["a name of 254 characters", clientHello(`${"a".repeat(252)}.b`)],
    [
      "a name of another type",
      handshake(Buffer.concat([...upToExtensions, Buffer.from([0, 11]), serverName("cart", 1).subarray(0, 11)])),
    ],
    [
      "an extension longer than the list",
      handshake(Buffer.concat([...upToExtensions, Buffer.from([0, 4, 0, 0, 0, 9])])),
    ],
    ["a session id longer than the hello", handshake(Buffer.concat([Buffer.alloc(34), Buffer.from([255])]))],
    ["another handshake message", handshake(Buffer.alloc(40), 2)],
    ["a length that no server would take", Buffer.from([1, 0xff, 0xff, 0xff, 0, 0])],
  ])("refuses %s", (_label, message) => {
    expect(read(message)).toEqual({ kind: "malformed" });
  });

  it("refuses an empty record, which would never end", () => {
    expect(readClientHello(Buffer.from([0x16, 3, 1, 0, 0]))).toEqual({ kind: "malformed" });
  });

  it("refuses a hello that another record type interrupts", () => {
    const half = records(clientHello("a.b").subarray(0, 20));
    expect(readClientHello(Buffer.concat([half, Buffer.from([0x17, 3, 3, 0, 1, 0])]))).toEqual({ kind: "malformed" });
  });

  it("ignores names after the first", () => {
    expect(read(clientHello("first.example", [serverName("zeroth.example")]))).toMatchObject({ sni: "zeroth.example" });
  });

  it("skips extensions it does not know", () => {
    expect(read(clientHello("a.b", [extension(0x0a0a, Buffer.alloc(3000))]))).toMatchObject({ sni: "a.b" });
  });

  it("is total", () => {
    const begin = fc.constantFrom(
      Buffer.alloc(0),
      Buffer.from([0x16, 3, 1]),
      records(clientHello("a.b")).subarray(0, 80),
    );
    fc.assert(
      fc.property(begin, fc.uint8Array({ maxLength: 300 }), (first, rest) => {
        const { kind } = readClientHello(Buffer.concat([first, rest]));
        expect(["hello", "need-more", "malformed"]).toContain(kind);
      }),
      { numRuns: 3000 },
    );
  });

  it("survives any change of any byte", () => {
    const whole = records(clientHello("cart.example.com"));
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => {
        const changed = Buffer.from(whole);
        changed[at] = value;
        const hello = readClientHello(changed);
        if (hello.kind === "hello" && hello.sni !== undefined) expect(hello.sni).toMatch(/^[a-z0-9_.-]{1,253}$/);
      }),
      { numRuns: 3000 },
    );
  });

  it("waits for no more than the bound", () => {
    expect(read(Buffer.from([1, 0, (MAX_HELLO_BYTES >> 8) + 1, 0]))).toEqual({ kind: "malformed" });
  });
});
