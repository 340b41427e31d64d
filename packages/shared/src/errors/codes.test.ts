import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
import { ErrorCode } from "./codes.ts";

describe("docs/errors.md", () => {
  const text = readFileSync(new URL("../../../../docs/errors.md", import.meta.url), "utf8");
  const sections = new Map(
    text
      .split(/^### /m)
      .slice(1)
      .map((section) => [section.slice(0, section.indexOf("\n")).trim(), section.slice(section.indexOf("\n")).trim()]),
  );

  it("has a section for every code and for nothing else", () => {
    expect([...sections.keys()].sort()).toEqual(Object.values(ErrorCode).sort());
  });

  it("says something in every section", () => {
    for (const body of sections.values()) expect(body.length).toBeGreaterThan(40);
  });
});
