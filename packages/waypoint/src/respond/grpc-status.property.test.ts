import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  decodeGrpcMessage,
  encodeGrpcMessage,
  grpcStatusOfHttp,
  httpStatusOfGrpc,
  isGrpcContentType,
  readGrpcStatus,
} from "./grpc-status.ts";

describe("gRPC status", () => {
  it.each([
    [400, 13],
    [401, 16],
    [403, 7],
    [404, 12],
    [429, 14],
    [502, 14],
    [503, 14],
    [504, 14],
    [500, 2],
    [418, 2],
    [200, 2],
  ])("case 40: HTTP %i is gRPC %i", (http, grpc) => {
    expect(grpcStatusOfHttp(http)).toBe(grpc);
  });

  it.each([
    [0, 200],
    [7, 403],
    [14, 503],
    [16, 401],
    [17, 500],
    [-1, 500],
  ])("gRPC %i is HTTP %i", (grpc, http) => {
    expect(httpStatusOfGrpc(grpc)).toBe(http);
  });

  it.each([
    ["application/grpc", true],
    ["application/grpc+proto", true],
    ["Application/GRPC; charset=utf-8", true],
    ["application/grpc-web", false],
    ["application/grpcx", false],
    ["application/json", false],
    [undefined, false],
  ])("takes %j for gRPC: %s", (type, expected) => {
    expect(isGrpcContentType(type)).toBe(expected);
  });

  it.each([
    [[["grpc-status", "0"]], 0],
    [[["grpc-status", "16"]], 16],
    [[["grpc-status", "007"]], undefined],
    [[["grpc-status", "-1"]], undefined],
    [[["grpc-status", "1000"]], undefined],
    [[["grpc-status", "7 "]], undefined],
    [
      [
        ["grpc-status", "0"],
        ["grpc-status", "7"],
      ],
      undefined,
    ],
    [[], undefined],
  ] as const)("case 40: reads %j as %s", (headers, expected) => {
    expect(readGrpcStatus(headers)).toBe(expected);
  });

  it("case 40: a message of any text is one field of visible ASCII and reads back", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
        const encoded = encodeGrpcMessage(text);
        expect(encoded).toMatch(/^[ -~]*$/);
        expect(decodeGrpcMessage(encoded)).toBe(text.toWellFormed());
      }),
    );
    expect(encodeGrpcMessage("a\r\ngrpc-status: 0 100%")).toBe("a%0D%0Agrpc-status: 0 100%25");
  });

  it("decodes any text without throwing", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => typeof decodeGrpcMessage(text) === "string"));
    expect(decodeGrpcMessage("100% %zz %41")).toBe("100% %zz A");
  });

  it("bounds a message", () => {
    expect(encodeGrpcMessage("é".repeat(5000)).length).toBeLessThanOrEqual(3 * 1024);
  });
});
