import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { parseGreeting, parseRequest } from "./socks-handshake.ts";

const named = (host: string, port: number): Buffer =>
  Buffer.concat([Buffer.from([5, 1, 0, 3, host.length]), Buffer.from(host), Buffer.from([port >> 8, port & 0xff])]);

describe("a SOCKS5 handshake", () => {
  it.each([
    ["a name", named("web.shop", 80), { host: "web.shop", port: 80, bytes: 15 }],
    ["IPv4", Buffer.from([5, 1, 0, 1, 10, 1, 0, 2, 0x1f, 0x90]), { host: "10.1.0.2", port: 8080, bytes: 10 }],
    ["IPv6", Buffer.from([5, 1, 0, 4, ...Array(15).fill(0), 1, 0, 80]), { host: "::1", port: 80, bytes: 22 }],
  ])("names its destination by %s", (_label, bytes, value) => {
    expect(parseRequest(bytes)).toEqual({ ok: true, value });
  });

  it("waits for the rest, byte by byte, and leaves what follows", () => {
    const whole = named("cart", 7000);
    for (let length = 0; length < whole.length; length++)
      expect(parseRequest(whole.subarray(0, length))).toEqual({ ok: true, value: undefined });
    expect(parseRequest(Buffer.concat([whole, Buffer.from("GET")]))).toMatchObject({ value: { bytes: whole.length } });
  });

  it.each([
    ["BIND", Buffer.from([5, 2, 0, 1, 1, 1, 1, 1, 0, 1])],
    ["version 4", Buffer.from([4, 1, 0, 1, 1, 1, 1, 1, 0, 1])],
    ["an unknown kind of address", Buffer.from([5, 1, 0, 9, 1, 1, 1, 1, 0, 1])],
  ])("is refused for %s", (_label, bytes) => {
    expect(parseRequest(bytes).ok).toBe(false);
  });

  it("never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        parseGreeting(Buffer.from(bytes));
        parseRequest(Buffer.from(bytes));
      }),
    );
  });
});
