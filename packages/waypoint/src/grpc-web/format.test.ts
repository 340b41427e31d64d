import { describe, expect, it } from "@jest/globals";
import * as fc from "fast-check";
import { answerFormat, Base64Pieces, requestFormat, toGrpcFields, toWebFields, trailersFrame } from "./format.ts";

const type = (value: string) => [["content-type", value]] as const;

describe("gRPC-Web's media types", () => {
  it.each([
    ["application/grpc-web", "binary"],
    ["application/grpc-web+proto", "binary"],
    ["Application/gRPC-Web; charset=x", "binary"],
    ["application/grpc-web-text", "text"],
    ["application/grpc-web-text+proto", "text"],
    ["application/grpc", undefined],
    ["application/grpc-webx", undefined],
    ["application/json", undefined],
  ])("%s is %s", (value, format) => {
    expect(requestFormat(type(value))).toBe(format);
  });

  it("are not read where there are several", () => {
    expect(requestFormat([...type("application/grpc-web"), ...type("text/plain")])).toBeUndefined();
  });

  it("become gRPC's, and back in the form the caller accepts", () => {
    const fields = [...type("application/grpc-web-text+json"), ["x-a", "1"], ["content-length", "8"]] as const;
    expect(toGrpcFields(fields)).toEqual([
      ["x-a", "1"],
      ["content-type", "application/grpc+json"],
      ["te", "trailers"],
    ]);
    expect(toWebFields([...type("application/grpc"), ["x-b", "2"]], "text")).toEqual([
      ["content-type", "application/grpc-web-text+proto"],
      ["x-b", "2"],
    ]);
    expect(toWebFields(type("text/plain"), "text")).toBeUndefined();
    expect(answerFormat([["accept", "application/grpc-web-text"]], "binary")).toBe("text");
    expect(answerFormat([["accept", "*/*"]], "text")).toBe("text");
    expect(answerFormat([["accept", "application/grpc-web+proto"]], "text")).toBe("binary");
  });
});

describe("its bodies", () => {
  it("end with the trailers as a frame", () => {
    const frame = trailersFrame([
      ["grpc-status", "5"],
      ["grpc-message", "no"],
    ]);
    expect([frame[0], frame.readUInt32BE(1)]).toEqual([0x80, frame.length - 5]);
    expect(frame.subarray(5).toString()).toBe("grpc-status:5\r\ngrpc-message:no\r\n");
  });

  it("are base64 of pieces, wherever it is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), fc.integer({ min: 1, max: 9 }), (parts, step) => {
        const text = parts.map((part) => Buffer.from(part).toString("base64")).join("");
        const pieces = new Base64Pieces();
        const decoded: Buffer[] = [];
        for (let at = 0; at < text.length; at += step) {
          decoded.push(pieces.push(Buffer.from(text.slice(at, at + step))) as Buffer);
        }
        expect(pieces.isComplete).toBe(true);
        expect(Buffer.concat(decoded)).toEqual(Buffer.concat(parts));
      }),
    );
  });

  it.each(["ab=c", "a===", "a b=", "ab-_", "====", "ab==cd=e"])("are refused where they are no base64: %s", (text) => {
    expect(new Base64Pieces().push(Buffer.from(text))).toBeUndefined();
  });

  it("are not complete within a group", () => {
    const pieces = new Base64Pieces();
    expect(pieces.push(Buffer.from("QUJDR"))?.toString()).toBe("ABC");
    expect(pieces.isComplete).toBe(false);
  });
});
