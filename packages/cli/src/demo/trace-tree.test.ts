import { describe, expect, it } from "@jest/globals";
import { countSpans, renderTrees, type Span, treesBelow } from "./trace-tree.ts";

const span = (spanId: string, parentSpanId: string, more: Partial<Span> = {}): Span => ({
  traceId: "t",
  spanId,
  parentSpanId,
  name: spanId,
  kind: "internal",
  startMs: 0,
  durationMs: 1,
  attributes: {},
  ...more,
});

describe("a trace as a tree", () => {
  it("hangs each span below its parent, earliest first", () => {
    const spans = [span("late", "a", { startMs: 9 }), span("a", "root"), span("early", "a", { startMs: 3 })];
    expect(renderTrees(treesBelow(spans, "root"))).toEqual(["a  1.0 ms", "  early  1.0 ms", "  late  1.0 ms"]);
  });

  it("counts what belongs to it and nothing else", () => {
    const spans = [span("a", "root"), span("b", "a"), span("stray", "elsewhere"), span("self", "self")];
    expect(countSpans(treesBelow(spans, "root"))).toBe(2);
    expect(treesBelow(spans, "nobody")).toEqual([]);
  });

  it("says who called whom, and where an attempt went", () => {
    const attributes = {
      "istio.source_workload": "web",
      "istio.destination_workload": "cart",
      "http.method": "GET",
      "http.url": "http://cart/",
      "http.status_code": "200",
    };
    const attempt = { "http.status_code": "503", upstream_address: "10.1.0.2:8080" };
    const spans = [
      span("a", "root", { kind: "server", attributes, durationMs: 12.34 }),
      span("b", "a", { kind: "client", attributes: attempt }),
    ];
    expect(renderTrees(treesBelow(spans, "root"))).toEqual([
      "web -> waypoint -> cart  GET http://cart/  200  12.3 ms",
      "  waypoint -> 10.1.0.2:8080  503  1.0 ms",
    ]);
  });
});
