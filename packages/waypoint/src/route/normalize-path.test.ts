import { describe, expect, it } from "@jest/globals";
import type { PathRules } from "../model/route-model.ts";
import { hasDotSegments, normalizePath, withoutParameters } from "./normalize-path.ts";

const NONE: PathRules = { normalization: "none", escapedSlashes: "keep" };
const BASE: PathRules = { normalization: "base", escapedSlashes: "keep" };
const MERGE: PathRules = { normalization: "merge-slashes", escapedSlashes: "keep" };
const DECODE: PathRules = { normalization: "decode-and-merge-slashes", escapedSlashes: "keep" };
const REJECT: PathRules = { normalization: "base", escapedSlashes: "reject" };
const UNESCAPE: PathRules = { normalization: "base", escapedSlashes: "unescape-and-forward" };

describe("normalizePath", () => {
  it.each<[string, string, PathRules, string]>([
    ["a clean path", "/a/b", BASE, "/a/b"],
    ["the root", "/", BASE, "/"],
    ["the asterisk of OPTIONS", "*", BASE, "*"],
    ["a trailing slash", "/a/", BASE, "/a/"],
    ["case 28: /./", "/a/./b", BASE, "/a/b"],
    ["case 28: /../", "/a/../b", BASE, "/b"],
    ["a dot at the end leaves a directory", "/a/.", BASE, "/a/"],
    ["two dots at the end leave a directory", "/a/b/..", BASE, "/a/"],
    ["back to the root", "/a/..", BASE, "/"],
    ["a name that starts with a dot", "/.well-known/x", BASE, "/.well-known/x"],
    ["three dots are a name", "/a/...", BASE, "/a/..."],
    ["case 28: %2e%2e", "/a/%2e%2e/b", BASE, "/b"],
    ["case 28: %2E.", "/a/%2E./b", BASE, "/b"],
    ["case 28: unreserved escapes are decoded", "/%61%7Eb", BASE, "/a~b"],
    ["case 28: other escapes are kept, and their case", "/%3a%3A%20", BASE, "/%3a%3A%20"],
    ["case 28: double encoding is decoded once", "/a/%252e%252e/b", BASE, "/a/%252e%252e/b"],
    ["case 28: over-long UTF-8 is not a dot", "/a/%c0%ae%c0%ae/b", BASE, "/a/%c0%ae%c0%ae/b"],
    ["case 28: a backslash is a slash", "/a\\..\\b", BASE, "/b"],
    ["case 28: %2F is kept", "/a%2Fb", BASE, "/a%2Fb"],
    ["case 28: %2F hides no dot segment that we see", "/a/..%2Fb", BASE, "/a/..%2Fb"],
    ["case 28: parameters are kept", "/a;x=1/b", BASE, "/a;x=1/b"],
    ["case 28: // is kept by base", "/a//b", BASE, "/a//b"],
    ["an empty segment is one for ..", "/a//../b", BASE, "/a/b"],
    ["case 28: // is merged", "//a///b//", MERGE, "/a/b/"],
    ["dots are resolved before slashes are merged", "/a//../b", MERGE, "/a/b"],
    ["case 28: %2F and %5C are slashes", "/a%2fb%5Cc", DECODE, "/a/b/c"],
    ["case 28: dots between them count", "/a/%2e%2e%2fb", DECODE, "/b"],
    ["case 28: double encoding of a slash is decoded once", "/a%252Fb", DECODE, "/a%252Fb"],
    ["escaped slashes without merging", "/a%2F%2Fb", UNESCAPE, "/a//b"],
    ["nothing", "/a/../%61//b%2F\\", NONE, "/a/../%61//b%2F\\"],
    [
      "nothing but escaped slashes",
      "/a/../b%2F",
      { normalization: "none", escapedSlashes: "unescape-and-forward" },
      "/a/../b/",
    ],
    ["rejecting looks at escaped slashes only", "/a/./b", REJECT, "/a/b"],
  ])("%s", (_, target, rules, path) => {
    expect(normalizePath(target, rules)).toEqual({ ok: true, value: { path, query: "" } });
  });

  it.each<[string, string, PathRules]>([
    ["no slash at the start", "a", BASE],
    ["nothing at all", "", BASE],
    ["case 28: a fragment", "/a#b", BASE],
    ["case 28: a fragment in the query", "/a?b#c", BASE],
    ["case 28: .. above the root", "/../a", BASE],
    ["case 28: .. above the root, escaped", "/%2e%2e/a", BASE],
    ["case 28: .. above the root by backslashes", "/\\..\\..", BASE],
    ["case 28: a dot segment with parameters", "/a/..;x/b", BASE],
    ["case 28: one dot with parameters", "/a/.;/b", BASE],
    ["case 28: an escaped NUL", "/a%00b", BASE],
    ["case 28: an escaped NUL without normalisation", "/a%00b", NONE],
    ["case 28: half an escape", "/a%2", BASE],
    ["case 28: an escape that is none", "/%zz", BASE],
    ["case 28: an escape that decoding would make", "/%%32%65", BASE],
    ["case 28: an escape that unescaping would make", "/%2%2Fe", DECODE],
    ["case 28: an escaped slash where they are rejected", "/a%2fb", REJECT],
    ["case 28: an escaped backslash where they are rejected", "/a%5cb", REJECT],
    ["rejecting wins over decoding", "/a%2fb", { normalization: "decode-and-merge-slashes", escapedSlashes: "reject" }],
  ])("refuses %s", (_, target, rules) => {
    expect(normalizePath(target, rules).ok).toBe(false);
  });

  it("leaves the query alone", () => {
    expect(normalizePath("/a/../b?x=/../%2e&y?", BASE)).toEqual({
      ok: true,
      value: { path: "/b", query: "x=/../%2e&y?" },
    });
  });
});

it("withoutParameters gives the form that some servers route by", () => {
  expect(withoutParameters("/a;x=1/b;y;z/c")).toBe("/a/b/c");
  expect(withoutParameters("/a/b")).toBe("/a/b");
});

it.each([
  ["/a/../b", true],
  ["/a/..;x", true],
  ["/a/.", true],
  ["/a/..b", false],
  ["/.a", false],
])("hasDotSegments of %s is %s", (path, expected) => {
  expect(hasDotSegments(path)).toBe(expected);
});
