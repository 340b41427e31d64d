import { describe, expect, it } from "@jest/globals";
import { buildForward } from "../../test/route-builders.ts";
import type { PathMatch, Rewrite } from "./model.ts";
import { rewriteTarget } from "./rewrite.ts";

const prefix = (value: string): PathMatch => ({ kind: "prefix", prefix: value, ignoreCase: false });
const segments = (value: string): PathMatch => ({ kind: "segments", prefix: value, ignoreCase: false });
const exact = (value: string): PathMatch => ({ kind: "exact", path: value, ignoreCase: false });

function rewritten(
  match: PathMatch,
  rewrite: Partial<Rewrite>,
  path: string,
  rest: { query?: string; hostRewrite?: string } = {},
) {
  const action = buildForward();
  const result = rewriteTarget(
    match,
    { rewrite: { ...action.rewrite, ...rewrite } },
    { hostRewrite: rest.hostRewrite },
    { path, query: rest.query ?? "", authority: "shop.example" },
  );
  if (!result.ok) throw new Error(result.error);
  return result.value;
}

describe("rewriteTarget", () => {
  it.each<[string, PathMatch, string, string, string]>([
    ["a whole segment", segments("/a"), "/b", "/a/x", "/b/x"],
    ["the segment alone", segments("/a"), "/b", "/a", "/b"],
    ["a segment by the root", segments("/a"), "/", "/a/x", "/x"],
    ["the segment alone by the root", segments("/a"), "/", "/a", "/"],
    ["a segment by a directory", segments("/a"), "/b/", "/a/x", "/b/x"],
    ["a text prefix, literally", prefix("/a"), "/b", "/ax", "/bx"],
    ["a text prefix by nothing", prefix("/a/"), "", "/a/x", "/x"],
    ["the whole of an exact path", exact("/a/x"), "/b", "/a/x", "/b"],
    ["the asterisk stays", prefix("/"), "/b", "*", "*"],
  ])("replaces %s", (_, match, replacement, path, expected) => {
    expect(rewritten(match, { prefix: replacement }, path).path).toBe(expected);
  });

  it("applies a pattern, and keeps the query out of it", () => {
    const pattern = { replace: (path: string) => path.replace("a", "?") };
    expect(rewritten(prefix("/"), { pattern }, "/a", { query: "a=1" }).path).toBe("/??a=1");
    expect(rewritten(prefix("/"), { pattern: { replace: () => "x" } }, "/a").path).toBe("/x");
  });

  it("says what the path was, with its query, only when it changed", () => {
    expect(rewritten(segments("/a"), { prefix: "/b" }, "/a", { query: "q" }).headers).toEqual([
      ["x-envoy-original-path", "/a?q"],
    ]);
    expect(rewritten(segments("/a"), { prefix: "/a" }, "/a").headers).toEqual([]);
    expect(rewritten(segments("/a"), {}, "/a", { query: "q" })).toEqual({
      path: "/a?q",
      authority: "shop.example",
      headers: [],
    });
  });

  it("rewrites the authority, the cluster's first", () => {
    expect(rewritten(prefix("/"), { host: "a.example" }, "/")).toMatchObject({
      authority: "a.example",
      headers: [["x-envoy-original-host", "shop.example"]],
    });
    const both = rewritten(prefix("/"), { host: "a.example", appendsForwardedHost: true }, "/", {
      hostRewrite: "b.example",
    });
    expect(both).toMatchObject({
      authority: "b.example",
      headers: [
        ["x-envoy-original-host", "shop.example"],
        ["x-forwarded-host", "shop.example"],
      ],
    });
    expect(rewritten(prefix("/"), { host: "shop.example", appendsForwardedHost: true }, "/").headers).toEqual([]);
  });

  it("case 28: refuses to make dot segments of names that only end like them", () => {
    const result = rewriteTarget(
      prefix("/a"),
      buildForward({ rewrite: { prefix: "/b/", pattern: undefined, host: undefined, appendsForwardedHost: false } }),
      undefined,
      { path: "/a../secret", query: "", authority: "shop" },
    );
    expect(result.ok).toBe(false);
  });
});
