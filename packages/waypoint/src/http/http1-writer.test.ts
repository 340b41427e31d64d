import type { Duplex } from "node:stream";
import { describe, expect, it } from "@jest/globals";
import { Http1Writer } from "./http1-writer.ts";

/** A transport that writes down what it is given, and is never ready again after `limit` bytes. */
function transport(limit = Number.POSITIVE_INFINITY) {
  const writes: string[] = [];
  const fake = {
    destroyed: false,
    writableEnded: false,
    writableLength: 0,
    write(bytes: Buffer | string): boolean {
      writes.push(bytes.toString("latin1" as never));
      fake.writableLength += bytes.length;
      return fake.writableLength < limit;
    },
    end(): void {
      fake.writableEnded = true;
    },
  };
  return { writes, fake, writer: new Http1Writer(fake as unknown as Duplex) };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("what is written in one turn", () => {
  it("leaves in one write: head, body and end", () => {
    const { writes, writer } = transport();
    writer.writeText("HEAD\r\n\r\n");
    writer.writeChunk(Buffer.from("abc"));
    writer.writeText("0\r\n\r\n");
    writer.flush();
    expect(writes).toEqual(["HEAD\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]);
  });

  it("leaves by itself at the end of the turn", async () => {
    const { writes, writer } = transport();
    writer.writeText("HEAD\r\n\r\n");
    expect(writes).toEqual([]);
    await turn();
    expect(writes).toEqual(["HEAD\r\n\r\n"]);
  });

  it("leaves in few writes when it is a thousand tiny chunks", async () => {
    const { writes, writer } = transport();
    for (let count = 0; count < 1000; count++) writer.writeChunk(Buffer.from("x"));
    await turn();
    expect(writes.join("")).toBe("1\r\nx\r\n".repeat(1000));
    expect(writes.length).toBeLessThan(5);
  });

  it("is a copy: the caller's buffer is its own again", async () => {
    const { writes, writer } = transport();
    const bytes = Buffer.from("abc");
    writer.writeBytes(bytes);
    bytes.fill("z");
    await turn();
    expect(writes).toEqual(["abc"]);
  });
});

describe("a transport that is full", () => {
  it("has no room above the mark, and room again after its drain", () => {
    const { fake, writer } = transport(1);
    writer.writeBytes(Buffer.alloc(200 * 1024));
    expect(writer.hasRoom).toBe(true);
    writer.writeBytes(Buffer.alloc(200 * 1024));
    expect(writer.hasRoom).toBe(false);
    fake.writableLength = 0;
    writer.onTransportDrain();
    expect(writer.hasRoom).toBe(true);
  });

  it("is not written to after its end, nor after close", () => {
    const { writes, fake, writer } = transport();
    writer.writeText("last");
    writer.end();
    writer.writeText("more");
    writer.flush();
    expect([writes, fake.writableEnded]).toEqual([["last"], true]);
    const closed = transport();
    closed.writer.writeText("dropped");
    closed.writer.close();
    closed.writer.flush();
    expect(closed.writes).toEqual([]);
  });
});
