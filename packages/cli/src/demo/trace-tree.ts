/** One trace as a tree of spans. Pure. */

/** As the shop's trace collector shows it. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: string;
  readonly startMs: number;
  readonly durationMs: number;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface SpanTree {
  readonly span: Span;
  readonly children: readonly SpanTree[];
}

/** What hangs below a span of that id, earliest first. Spans that lead in a circle are below nothing. */
export function treesBelow(spans: readonly Span[], parentSpanId: string): readonly SpanTree[] {
  return spans
    .filter((span) => span.parentSpanId === parentSpanId && span.spanId !== parentSpanId)
    .toSorted((a, b) => a.startMs - b.startMs)
    .map((span) => ({ span, children: treesBelow(spans, span.spanId) }));
}

export const countSpans = (trees: readonly SpanTree[]): number =>
  trees.reduce((count, { children }) => count + 1 + countSpans(children), 0);

/** One line a span, indented by its depth. */
export function renderTrees(trees: readonly SpanTree[], depth = 0): readonly string[] {
  return trees.flatMap(({ span, children }) => [
    `${"  ".repeat(depth)}${describe(span)}  ${span.durationMs.toFixed(1)} ms`,
    ...renderTrees(children, depth + 1),
  ]);
}

function describe({ kind, name, attributes }: Span): string {
  const of = (key: string): string => attributes[key] ?? "?";
  if (kind === "client") return `waypoint -> ${of("upstream_address")}  ${of("http.status_code")}`;
  if (kind !== "server") return name;
  const [from, to] = [of("istio.source_workload"), of("istio.destination_workload")];
  return `${from} -> waypoint -> ${to}  ${of("http.method")} ${of("http.url")}  ${of("http.status_code")}`;
}
