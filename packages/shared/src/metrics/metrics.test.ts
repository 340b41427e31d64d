import { describe, expect, it } from "@jest/globals";
import { acceptsGzip, metricsContentType } from "./content-type.ts";
import { createRegistry } from "./registry.ts";
import { createTrafficMetrics, TRAFFIC_LABELS } from "./traffic-metrics.ts";

describe("MetricsRegistry", () => {
  it("prints counters, gauges and histograms as OpenMetrics text and leaves empty families out", async () => {
    const registry = createRegistry();
    registry
      .counter({ name: "a", help: "A", labelNames: ["x"] })
      .with('v"\n\\')
      .inc(2);
    registry.gauge({ name: "b", help: "B", labelNames: [] }).with().set(1.5);
    const histogram = registry.histogram({ name: "h", help: "H", labelNames: ["x"], buckets: [0.5, 1] });
    for (const value of [0.25, 0.5, 1, 3]) histogram.with("v").observe(value);
    registry.counter({ name: "never", help: "no samples", labelNames: [] });
    expect(await registry.scrape()).toBe(
      `# HELP a A
# TYPE a counter
a_total{x="v\\"\\n\\\\"} 2
# HELP b B
# TYPE b gauge
b 1.5
# HELP h H
# TYPE h histogram
h_bucket{le="0.5",x="v"} 2
h_bucket{le="1",x="v"} 3
h_bucket{le="+Inf",x="v"} 4
h_sum{x="v"} 4.75
h_count{x="v"} 4
# EOF
`,
    );
  });

  it("holds a bounded number of series and counts the rest in one", async () => {
    const registry = createRegistry();
    const family = registry.counter({ name: "a", help: "A", labelNames: ["x"], maxSeries: 10 });
    for (let i = 0; i < 1000; i++) family.with(`v${i}`).inc();
    expect(family.size).toBe(11);
    expect(family.overflowed).toBe(990);
    expect(await registry.scrape()).toContain('a_total{x="other"} 990\n');
  });

  it("refuses a name twice", () => {
    const registry = createRegistry();
    registry.gauge({ name: "a", help: "A", labelNames: [] });
    expect(() => registry.gauge({ name: "a", help: "A", labelNames: [] })).toThrow("registered once");
  });
});

describe("traffic metrics", () => {
  const labels = { reporter: "source", source_workload: "web", response_flags: "DENY", request_protocol: "tcp" };

  it("use Istio's label names in Istio's order, unknown for what is missing", async () => {
    const registry = createRegistry();
    createTrafficMetrics(registry).opened(labels);
    const line = (await registry.scrape())
      .split("\n")
      .find((each) => each.startsWith("istio_tcp_connections_opened_total"));
    const names = [...(line ?? "").matchAll(/([a-z_]+)="/g)].map((match) => match[1]);
    expect(names).toEqual([...TRAFFIC_LABELS]);
    expect(line).toContain('reporter="source",source_workload="web",source_canonical_service="unknown"');
  });

  it("count opened and bytes with the flag -, closed and failed with the final flag", async () => {
    const registry = createRegistry();
    const traffic = createTrafficMetrics(registry);
    traffic.opened(labels);
    traffic.bytes(labels, 11, 22);
    traffic.closed(labels);
    traffic.closed({ ...labels, response_flags: "-" });
    const lines = (await registry.scrape()).split("\n").filter((line) => line.startsWith("istio"));
    const summary = lines.map((line) => [
      line.split("{")[0],
      /response_flags="([^"]*)"/.exec(line)?.[1],
      line.split(" ").at(-1),
    ]);
    expect(summary).toEqual([
      ["istio_tcp_connections_opened_total", "-", "1"],
      ["istio_tcp_connections_closed_total", "DENY", "1"],
      ["istio_tcp_connections_closed_total", "-", "1"],
      ["istio_tcp_received_bytes_total", "-", "11"],
      ["istio_tcp_sent_bytes_total", "-", "22"],
      ["istio_tcp_connections_failed_total", "DENY", "1"],
    ]);
  });

  it("keep reporter and flag apart even when peers exhaust the bound of label sets", async () => {
    const registry = createRegistry();
    const traffic = createTrafficMetrics(registry);
    for (let i = 0; i < 5_100; i++) traffic.opened({ reporter: "source", source_workload: `w${i}` });
    expect(traffic.overflowed()).toBe(100);
    const shared = (await registry.scrape()).split("\n").find((line) => line.endsWith(" 100"));
    expect(shared).toContain('reporter="source",source_workload="unknown"');
  });

  it("forget series an hour after their last use", async () => {
    const registry = createRegistry({ now: () => 0, monotonic: () => 1000, after: () => () => {} });
    const traffic = createTrafficMetrics(registry);
    traffic.opened(labels);
    traffic.expire(3_600_000);
    expect(await registry.scrape()).toContain("istio_tcp");
    traffic.expire(3_602_000);
    expect(await registry.scrape()).toBe("# EOF\n");
  });
});

describe("metrics content negotiation", () => {
  it.each([
    [undefined, "text/plain; charset=utf-8"],
    ["*/*", "text/plain; charset=utf-8"],
    [
      "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
      "application/openmetrics-text;charset=utf-8;version=1.0.0",
    ],
    ["text/plain, Application/OpenMetrics-Text", "application/openmetrics-text;charset=utf-8;version=1.0.0"],
    ["application/openmetrics-text;q=0", "text/plain; charset=utf-8"],
  ])("answers Accept %j with %s", (accept, expected) => {
    expect(metricsContentType(accept)).toBe(expected);
  });

  it.each([
    [undefined, false],
    ["gzip, deflate", true],
    ["deflate, gzip;q=0", false],
    ["br", false],
  ])("takes Accept-Encoding %j as gzip: %s", (header, expected) => {
    expect(acceptsGzip(header)).toBe(expected);
  });
});
