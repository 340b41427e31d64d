import { randomBytes } from "node:crypto";
import { type DemoContext, type DemoStep, eventually } from "../check.ts";
import { askPod, readyPod } from "../in-pod.ts";
import { LAYER7 } from "../layer7.ts";
import { applyPath } from "../objects.ts";
import { SHOP } from "../shop.ts";
import { countSpans, renderTrees, type Span, type SpanTree, treesBelow } from "../trace-tree.ts";
import { getFrom } from "../traffic.ts";

/** Two calls pass the waypoint, web to cart and cart to catalog: for each the request and its one attempt. */
const SPANS = 4;

interface TraceIds {
  readonly traceId: string;
  readonly parentId: string;
}

export const oneTrace: DemoStep = {
  name: "one-trace",
  says: "A collector is named in the mesh's settings; one request's way through the shop is one trace, though the apps only pass a header on.",
  async run(context) {
    await applyPath(context, LAYER7.traceCollector);
    await readyPod(context, LAYER7.collectorPod);
    const asked: TraceIds[] = [];
    const found = await eventually(async () => {
      // Those asked before the waypoint knew of the collector leave no trace.
      if (asked.length < 20) asked.push(await askTraced(context));
      const body = await askPod(context, LAYER7.collectorPod, LAYER7.collectorPort, "/spans");
      return completeTrace((JSON.parse(body) as { spans: Span[] }).spans, asked);
    }, 30_000);
    if (!found) return { held: false, evidence: [`no trace of ${SPANS} spans at the collector after 30 s`] };
    return {
      held: true,
      evidence: [`trace ${found.ids.traceId}, ${countSpans(found.trees)} spans`, ...renderTrees(found.trees)],
    };
  },
};

/** A request that is sampled by its caller's wish. */
async function askTraced(context: DemoContext): Promise<TraceIds> {
  const ids = { traceId: randomBytes(16).toString("hex"), parentId: randomBytes(8).toString("hex") };
  await getFrom(context, SHOP.web, SHOP.cartUrl, "GET", `traceparent: 00-${ids.traceId}-${ids.parentId}-01`);
  return ids;
}

function completeTrace(
  spans: readonly Span[],
  asked: readonly TraceIds[],
): { readonly ids: TraceIds; readonly trees: readonly SpanTree[] } | undefined {
  const traces = asked.map((ids) => {
    const own = spans.filter(({ traceId }) => traceId === ids.traceId);
    return { ids, trees: treesBelow(own, ids.parentId), isWhole: own.length === SPANS };
  });
  return traces.find(({ trees, isWhole }) => isWhole && countSpans(trees) === SPANS);
}
