import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { mergePatch } from "./merge-patch.ts";
import { parseKubeFile } from "./parse-file.ts";

describe("parseKubeFile on arbitrary input", () => {
  it("never throws, and gives every problem a file and a code", () => {
    const piece = fc.constantFrom(
      "apiVersion: v1\n",
      "kind: Pod\n",
      "metadata:\n",
      "  name: a\n",
      "---\n",
      "- ",
      "{",
      "}",
      "&a ",
      "*a",
      "\t",
      "? ",
      ": ",
      "\u0000",
      "!!binary x",
      "|\n",
      '"',
      "<<: ",
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string()), { maxLength: 30 }), (pieces) => {
        for (const { file, code } of parseKubeFile("f", pieces.join("")).problems) {
          expect([file, code.startsWith("KUBE_")]).toEqual(["f", true]);
        }
      }),
    );
  });

  it("reads back what JSON wrote, whatever a policy's spec holds", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue({ maxDepth: 4 })), (spec) => {
        fc.pre(!Object.keys(spec).includes("__proto__"));
        const object = { apiVersion: "example.com/v1", kind: "Thing", metadata: { name: "a", namespace: "b" }, spec };
        const [parsed] = parseKubeFile("f", JSON.stringify(object)).objects;
        expect(JSON.stringify(parsed?.object.spec)).toBe(JSON.stringify(spec));
      }),
    );
  });
});

describe("mergePatch", () => {
  it.each([
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: ["b"] }, { a: ["c"] }, { a: ["c"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])("%j with %j is %j (RFC 7396, appendix A)", (target, patch, expected) => {
    expect(mergePatch(target, patch)).toEqual(expected);
  });

  it("changes nothing when applied twice", () => {
    fc.assert(
      fc.property(fc.object(), fc.object(), (target, patch) => {
        const once = mergePatch(target, patch);
        expect(mergePatch(once, patch)).toEqual(once);
      }),
    );
  });
});
