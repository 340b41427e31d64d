import { readFileSync } from "node:fs";
import { createRegistry, TRAFFIC_LABELS } from "@ambit/shared/metrics";
import { describe, expect, it } from "@jest/globals";
import { configVariables } from "../src/config/index.ts";
import { createZtunnelMetrics } from "../src/control/metrics.ts";

const doc = (name: string): string => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), "utf8");

/** The text below `## heading`, to the next one. */
function section(text: string, heading: string): string {
  const [, rest = ""] = text.split(`\n## ${heading}\n`);
  return rest.split(/\n## /)[0] ?? "";
}

const quoted = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);

describe("docs/configuration.md", () => {
  it("lists every variable ztunnel reads, and no other", () => {
    const text = section(doc("configuration.md"), "ztunnel");
    const inTable = text
      .split("\n")
      .flatMap((line) => (line.startsWith("| `") ? quoted(line.split("|")[1] ?? "") : []));
    const unsupported = quoted(text.slice(text.indexOf("Set to anything but"), text.indexOf("Other variables")));
    expect([...inTable, ...unsupported].sort()).toEqual([...configVariables()].sort());
  });
});

describe("docs/metrics.md", () => {
  const registry = createRegistry();
  createZtunnelMetrics(registry, "test");

  it("lists every metric of ztunnel with its type, and no other", () => {
    const rows = section(doc("metrics.md"), "ztunnel")
      .split("\n")
      .filter((line) => line.startsWith("| `"))
      .map((line) => line.split("|").map((cell) => cell.trim()));
    const documented = rows.map(([, name = "", type]) => `${name.replaceAll("`", "")} ${type}`);
    expect(documented.sort()).toEqual(
      registry
        .describe()
        .map(({ name, type }) => `${name} ${type}`)
        .sort(),
    );
  });

  it("lists the traffic labels in the code's order", () => {
    const text = section(doc("metrics.md"), "Traffic labels");
    expect(quoted(text).slice(0, TRAFFIC_LABELS.length)).toEqual([...TRAFFIC_LABELS]);
  });
});
