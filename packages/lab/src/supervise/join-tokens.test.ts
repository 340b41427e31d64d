import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "@ambit/testing/files";
import { describe, expect, it } from "@jest/globals";
import { JoinTokens } from "./join-tokens.ts";

const sha256 = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");
const make = (): JoinTokens => new JoinTokens(join(temporaryFolder("tokens"), "tokens"));
const hashes = (tokens: JoinTokens): unknown => JSON.parse(readFileSync(tokens.hashesFile, "utf8"));
const POD = { uid: "u1", namespace: "shop", name: "waypoint-abc", serviceAccount: "waypoint" };

describe("JoinTokens", () => {
  it("keeps a hash of every node's token, and nothing of the token itself", () => {
    const tokens = make();
    const file = tokens.issue("node1");
    expect(hashes(tokens)).toEqual({ nodes: { node1: sha256(file) }, workloads: [] });
    tokens.revoke("node1");
    expect(hashes(tokens)).toEqual({ nodes: {}, workloads: [] });
  });

  it("binds a pod's token to its namespace, service account and name for as long as the pod lives", () => {
    const tokens = make();
    const file = tokens.issueToPod(POD);
    const entry = { sha256: sha256(file), namespace: "shop", serviceAccount: "waypoint", pod: "waypoint-abc" };
    expect(hashes(tokens)).toEqual({ nodes: {}, workloads: [entry] });
    tokens.revokeFromPod("u1");
    tokens.revokeFromPod("u1");
    expect(hashes(tokens)).toEqual({ nodes: {}, workloads: [] });
    expect(existsSync(file)).toBe(false);
  });

  it("gives a pod the same token when asked again, and two pods different ones", () => {
    const tokens = make();
    const first = readFileSync(tokens.issueToPod(POD), "utf8");
    expect(readFileSync(tokens.issueToPod(POD), "utf8")).toBe(first);
    expect(readFileSync(tokens.issueToPod({ ...POD, uid: "u2" }), "utf8")).not.toBe(first);
  });

  it("writes files that only their owner may read", () => {
    const tokens = make();
    for (const file of [tokens.issue("node1"), tokens.issueToPod(POD), tokens.hashesFile])
      expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});
