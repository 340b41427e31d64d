import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { parseUniqueJson } from "./check-json.ts";
import { parseJwt } from "./parse-jwt.ts";

describe("parseUniqueJson", () => {
  it("reads any object of unique members as JSON.parse does", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), (value) => {
        const text = JSON.stringify(value);
        expect(parseUniqueJson(text)).toEqual({ ok: true, value: JSON.parse(text) });
      }),
    );
  });

  it("refuses a member twice, wherever and however it is written", () => {
    const wrapped = fc.constantFrom<(text: string) => string>(
      (text) => text,
      (text) => `{"w":${text}}`,
      (text) => `{"w":[1,{"v":"{}"},${text}]}`,
    );
    fc.assert(
      fc.property(
        fc.string(),
        fc.jsonValue({ maxDepth: 2 }),
        fc.jsonValue({ maxDepth: 2 }),
        wrapped,
        (name, a, b, wrap) => {
          const other = `"${Array.from({ length: name.length }, (_, i) => `\\u${name.charCodeAt(i).toString(16).padStart(4, "0")}`).join("")}"`;
          const text = `{${JSON.stringify(name)}:${JSON.stringify(a)}, ${other} : ${JSON.stringify(b)}}`;
          expect(parseUniqueJson(wrap(text)).ok).toBe(false);
        },
      ),
    );
  });

  it("is total", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void parseUniqueJson(text)));
  });

  it.each(["null", "1", '"a"', "[]", "", "{"])("refuses %p", (text) => {
    expect(parseUniqueJson(text).ok).toBe(false);
  });
});

describe("parseJwt", () => {
  it("is total", () => {
    const part = fc.oneof(
      fc.string(),
      fc.uint8Array().map((bytes) => Buffer.from(bytes).toString("base64url")),
    );
    fc.assert(fc.property(fc.array(part, { maxLength: 5 }), (parts) => void parseJwt(parts.join("."))));
  });
});
