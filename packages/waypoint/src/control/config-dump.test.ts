import { describe, expect, it } from "@jest/globals";
import { dumpValue } from "./config-dump.ts";

describe("dumpValue", () => {
  it("shows maps, sets, bytes and matchers as plain JSON", () => {
    const matcher = { source: "prefix:/a", matches: () => true };
    const value = new Map<string, unknown>([
      ["chain", { matcher, names: new Set(["a"]), body: Buffer.from("abc"), big: 7n, none: undefined }],
    ]);
    expect(JSON.parse(JSON.stringify(dumpValue(value)))).toEqual({
      chain: { matcher: { source: "prefix:/a" }, names: ["a"], body: "<3 bytes>", big: "7" },
    });
  });

  it("shows which headers a provider is sent, and not what is in them", () => {
    const text = JSON.stringify(dumpValue({ headersToAdd: [["x-api-key", "s3cret"]], token: "s3cret" }));
    expect(text).toContain("x-api-key");
    expect(text).not.toContain("s3cret");
  });

  it("ends on what refers to itself, and takes names of the prototype for names", () => {
    const loop: Record<string, unknown> = {};
    loop["self"] = loop;
    expect(JSON.stringify(dumpValue(loop))).toContain("...");
    const parsed = JSON.parse('{"__proto__": {"polluted": 1}}') as object;
    expect(JSON.stringify(dumpValue(parsed))).toBe('{"__proto__":{"polluted":1}}');
  });
});
