import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { PathRules } from "../model/route-model.ts";
import { hasDotSegments, normalizePath } from "./normalize-path.ts";

const rules: fc.Arbitrary<PathRules> = fc.record({
  normalization: fc.constantFrom("none", "base", "merge-slashes", "decode-and-merge-slashes"),
  escapedSlashes: fc.constantFrom("keep", "reject", "unescape-and-forward"),
});
const hostile = fc
  .array(
    fc.constantFrom(
      "/",
      "\\",
      ".",
      "..",
      "%2e",
      "%2E",
      "%2f",
      "%5C",
      "%",
      "%25",
      "%00",
      "2",
      "e",
      "f",
      ";",
      "a",
      "?",
      "#",
      "é",
    ),
  )
  .map((parts) => `/${parts.join("")}`);

describe("normalizePath", () => {
  it("case 28: is idempotent", () => {
    fc.assert(
      fc.property(hostile, rules, (target, by) => {
        const once = normalizePath(target, by);
        if (!once.ok) return;
        const again = once.value.query === "" ? once.value.path : `${once.value.path}?${once.value.query}`;
        expect(normalizePath(again, by)).toEqual(once);
      }),
      { numRuns: 3000 },
    );
  });

  it("case 28: leaves nothing that a receiver would resolve", () => {
    fc.assert(
      fc.property(hostile, rules, (target, by) => {
        const normal = normalizePath(target, by);
        if (!normal.ok || by.normalization === "none") return;
        expect(normal.value.path).not.toMatch(/\\|%2e|%00/i);
        expect(hasDotSegments(normal.value.path)).toBe(false);
        if (by.normalization !== "base") expect(normal.value.path).not.toContain("//");
      }),
      { numRuns: 3000 },
    );
  });

  it("is total", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), rules, (text, by) => {
        expect(typeof normalizePath(text, by).ok).toBe("boolean");
      }),
    );
  });

  it("does not change clean paths", () => {
    const clean = fc
      .array(fc.stringMatching(/^[a-z0-9_~-][a-z0-9._~:@!$&'()*+,=-]*$/))
      .map((parts) => `/${parts.join("/")}`);
    fc.assert(
      fc.property(clean, rules, (path, by) => {
        expect(normalizePath(path, by)).toEqual({ ok: true, value: { path, query: "" } });
      }),
    );
  });
});
