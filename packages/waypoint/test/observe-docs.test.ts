import { readFileSync } from "node:fs";
import { createRegistry } from "@ambit/shared/metrics";
import { describe, expect, it } from "@jest/globals";
import { createRequestMetrics, createWaypointMetrics, REQUEST_LABELS, TCP_LABELS } from "../src/observe/index.ts";

const text = readFileSync(new URL("../../../docs/metrics.md", import.meta.url), "utf8");
/** The text below `## Waypoint`, to the next heading of that level. */
const section = (text.split("\n## Waypoint\n")[1] ?? "").split(/\n## /)[0] ?? "";
const quoted = (part: string): string[] => [...part.matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);

describe("docs/metrics.md", () => {
  const registry = createRegistry();
  createRequestMetrics(registry);
  createWaypointMetrics(registry, "test");
  const described = registry.describe();

  it("lists every metric of the waypoint with its type, and no other", () => {
    const rows = section
      .split("\n")
      .filter((line) => line.startsWith("| `"))
      .map((line) => line.split("|").map((cell) => cell.trim()));
    const documented = rows.map(([, name = "", type]) => `${name.replaceAll("`", "")} ${type}`);
    expect(documented.sort()).toEqual(described.map(({ name, type }) => `${name} ${type}`).sort());
  });

  it("says the labels of each: request, connection, or their names", () => {
    for (const { name, labels } of described) {
      const row = section.split("\n").find((line) => line.startsWith(`| \`${name}\``)) ?? "";
      const cell = row.split("|")[3]?.trim() ?? "";
      const meant = cell === "request" ? [...REQUEST_LABELS] : cell === "connection" ? [...TCP_LABELS] : quoted(cell);
      expect([name, meant]).toEqual([name, [...labels]]);
    }
  });

  it("lists the request labels in the code's order", () => {
    const [, list = ""] = section.split("Labels of requests, in Istio's order:");
    expect(quoted(list).slice(0, REQUEST_LABELS.length)).toEqual([...REQUEST_LABELS]);
  });
});
