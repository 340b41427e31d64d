import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@ambit/shared/time";
import { temporaryFolder } from "@ambit/testing/files";
import { Metadata } from "@grpc/grpc-js";
import { describe, expect, it } from "@jest/globals";
import { createJoinTokens, parseJoinTokens } from "./join-tokens.ts";

describe("parseJoinTokens", () => {
  it("reads a digest for each node", () => {
    const digest = "ab".repeat(32);
    const parsed = parseJoinTokens(JSON.stringify({ nodes: { node1: digest } }));
    expect(parsed).toEqual({
      ok: true,
      value: [{ digest: Buffer.from(digest, "hex"), caller: { kind: "node", node: "node1" } }],
    });
  });

  it("reads whose pod a workload's token is", () => {
    const caller = { namespace: "shop", serviceAccount: "wp", pod: "wp-1" };
    const sha256 = "cd".repeat(32);
    const parsed = parseJoinTokens(JSON.stringify({ workloads: [{ sha256, ...caller }] }));
    expect(parsed).toEqual({
      ok: true,
      value: [{ digest: Buffer.from(sha256, "hex"), caller: { kind: "workload", ...caller } }],
    });
  });

  it.each([
    ["no JSON", "{", ""],
    ["a list", "[]", "expected"],
    ["no nodes", "{}", "expected"],
    ["nodes as a list", '{"nodes":[]}', "expected"],
    ["a short digest", '{"nodes":{"node1":"abcd"}}', "nodes.node1"],
    ["workloads that are no list", '{"workloads":{}}', "workloads"],
    ["a workload without a digest", '{"workloads":[{"namespace":"a","serviceAccount":"b","pod":"c"}]}', "workloads[0]"],
    [
      "a workload whose name would reach into another part of an identity",
      `{"workloads":[{"sha256":"${"ab".repeat(32)}","namespace":"a/sa","serviceAccount":"b","pod":"c"}]}`,
      "workloads[0].namespace",
    ],
    ["a digest that is no text", '{"nodes":{"node1":1}}', "nodes.node1"],
  ])("refuses %s, saying where", (_, text, reason) => {
    expect(parseJoinTokens(text)).toEqual({ ok: false, error: expect.stringContaining(reason) });
  });
});

describe("createJoinTokens", () => {
  it("knows everybody who comes at once, before the file was ever read", async () => {
    const dir = temporaryFolder("tokens");
    const path = join(dir, "tokens.json");
    const sha256 = createHash("sha256").update("secret").digest("hex");
    await writeFile(path, JSON.stringify({ nodes: { node1: sha256 } }));
    const authenticate = createJoinTokens({ path, clock: systemClock });
    const metadata = new Metadata();
    metadata.set("authorization", "Bearer secret");
    const verdicts = await Promise.all(Array.from({ length: 20 }, () => authenticate(metadata)));
    expect(verdicts.filter(({ ok }) => !ok)).toEqual([]);
  });
});
