import { describe, expect, it } from "@jest/globals";
import { parseJoinTokens } from "./join-tokens.ts";

describe("parseJoinTokens", () => {
  it("reads a digest for each node", () => {
    const digest = "ab".repeat(32);
    const parsed = parseJoinTokens(JSON.stringify({ nodes: { node1: digest } }));
    expect(parsed).toEqual({ ok: true, value: new Map([["node1", Buffer.from(digest, "hex")]]) });
  });

  it.each([
    ["no JSON", "{", ""],
    ["a list", "[]", "expected"],
    ["no nodes", "{}", "expected"],
    ["nodes as a list", '{"nodes":[]}', "expected"],
    ["a short digest", '{"nodes":{"node1":"abcd"}}', "nodes.node1"],
    ["a digest that is no text", '{"nodes":{"node1":1}}', "nodes.node1"],
  ])("refuses %s, saying where", (_, text, reason) => {
    expect(parseJoinTokens(text)).toEqual({ ok: false, error: expect.stringContaining(reason) });
  });
});
