import { describe, expect, it } from "@jest/globals";
import { parseSamples } from "./samples.ts";

const TEXT = `# HELP retries_total Attempts after the first
# TYPE retries_total counter
retries_total{cluster="outbound|80||a.b",kind="say \\"hi\\", {}"} 12
retries_total{cluster="other"} 3
retries_total_by_zone{cluster="other"} 99
`;

describe("samples of a metric", () => {
  it("are its own, with labels and value", () => {
    expect(parseSamples(TEXT, "retries_total")).toEqual([
      { labels: { cluster: "outbound|80||a.b", kind: 'say \\"hi\\", {}' }, value: 12 },
      { labels: { cluster: "other" }, value: 3 },
    ]);
  });

  it("are none of a metric that nobody has", () => {
    expect(parseSamples(TEXT, "retries")).toEqual([]);
  });
});
