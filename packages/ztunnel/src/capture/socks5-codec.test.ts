import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { parseGreeting, parseRequest } from "./socks5-codec.ts";

const bytes = (...parts: readonly (number | string)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.from([part]) : Buffer.from(part, "latin1"))));

describe("parseGreeting", () => {
  it.each([
    ["no authentication offered", bytes(5, 1, 0), { kind: "complete", value: { acceptable: true }, used: 3 }],
    ["among others", bytes(5, 2, 2, 0), { kind: "complete", value: { acceptable: true }, used: 4 }],
    ["only others", bytes(5, 1, 2), { kind: "complete", value: { acceptable: false }, used: 3 }],
    ["cut short", bytes(5, 2, 0), { kind: "incomplete" }],
    ["SOCKS 4", bytes(4, 1), { kind: "malformed", message: "expected SOCKS version 5, got 4" }],
  ])("reads %s", (_name, input, expected) => {
    expect(parseGreeting(input)).toEqual(expected);
  });
});

describe("parseRequest", () => {
  const port = [0x1f, 0x90] as const;
  const at = (ip: string) => ({ kind: "address", address: { ip, port: 8080 } });
  it.each<[string, Buffer, unknown]>([
    ["an IPv4 address", bytes(5, 1, 0, 1, 10, 0, 0, 2, ...port), at("10.0.0.2")],
    ["an IPv6 address", bytes(5, 1, 0, 4, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, ...port), at("fd00::1")],
    [
      "case 49: a mapped address, as IPv4",
      bytes(5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1, ...port),
      at("127.0.0.1"),
    ],
    ["a hostname", bytes(5, 1, 0, 3, 9, "Cart.shop", ...port), { kind: "hostname", hostname: "cart.shop", port: 8080 }],
    [
      "a hostname with a final dot",
      bytes(5, 1, 0, 3, 5, "cart.", ...port),
      { kind: "hostname", hostname: "cart", port: 8080 },
    ],
    ["an address written as a hostname", bytes(5, 1, 0, 3, 8, "10.0.0.2", ...port), at("10.0.0.2")],
  ])("reads %s", (_name, input, value) => {
    expect(parseRequest(Buffer.concat([input, Buffer.from("early")]))).toEqual({
      kind: "complete",
      value,
      used: input.length,
    });
    expect(parseRequest(input.subarray(0, -1))).toEqual({ kind: "incomplete" });
  });

  it.each<[string, Buffer]>([
    ["the BIND command", bytes(5, 2, 0, 1, 10, 0, 0, 2, ...port)],
    ["an unknown address type", bytes(5, 1, 0, 9, 10, 0, 0, 2, ...port)],
    ["port 0", bytes(5, 1, 0, 1, 10, 0, 0, 2, 0, 0)],
    ["an empty hostname", bytes(5, 1, 0, 3, 0, ...port)],
    ["a hostname with a newline", bytes(5, 1, 0, 3, 3, "a\nb", ...port)],
  ])("refuses %s", (_name, input) => {
    expect(parseRequest(input).kind).toBe("malformed");
  });

  it("survives any bytes", () => {
    const parsers = [parseGreeting, parseRequest];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (input) =>
        parsers.every((parse) => {
          const parsed = parse(input);
          return parsed.kind !== "complete" || parsed.used <= input.length;
        }),
      ),
    );
  });
});
