import { readFileSync } from "node:fs";
import { createRegistry } from "@ambit/shared/metrics";
import { describe, expect, it } from "@jest/globals";
import { configVariables } from "../src/config/index.ts";
import { createMetrics } from "../src/observe/metrics.ts";

/** Names in backquotes in the first column of the tables of `## Control plane`. */
function namesIn(page: string): readonly string[] {
  const text = readFileSync(new URL(`../../../docs/${page}`, import.meta.url), "utf8");
  const section = text.split(/^## /m).find((each) => each.startsWith("Control plane")) ?? "";
  const [table = ""] = section.split(/^### /m);
  const cells = table.split("\n").flatMap((line) => (line.startsWith("| `") ? [line.split("|")[1] ?? ""] : []));
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? "")).sort();
}

describe("the control plane's documentation", () => {
  it("lists every variable and no other", () => {
    expect(namesIn("configuration.md")).toEqual([...configVariables()].sort());
  });

  it("lists every metric and no other", () => {
    const registry = createRegistry();
    createMetrics(registry, () => ({ objects: 0, problems: 0, clients: 0, resources: {} }));
    expect(namesIn("metrics.md")).toEqual(
      registry
        .describe()
        .map(({ name }) => name)
        .sort(),
    );
  });
});
