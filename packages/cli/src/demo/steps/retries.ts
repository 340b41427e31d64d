import type { DemoContext, DemoStep } from "../check.ts";
import { askPod, samplesOf } from "../in-pod.ts";
import { LAYER7, retryRoute } from "../layer7.ts";
import { apply, remove } from "../objects.ts";
import { SHOP } from "../shop.ts";
import { describeLoop, fromPod, type LoopResult, manyFrom, untilRouted } from "../traffic.ts";

const REQUESTS = 3_000;
const CONNECTIONS = 8;
const HEALTHY_PER_SECOND = 20;
const HEALTHY_SECONDS = 5;
/** The budget where nobody configures another. */
const BUDGET = { percent: 10, perSecond: 10 };
const RETRIES_PER_REQUEST = 3;

interface Counts {
  /** To the catalog, since the waypoint is there. */
  readonly requests: number;
  readonly retries: number;
  readonly denied: number;
  /** Requests for the broken path that the catalog saw. */
  readonly asked: number;
}

export const retriesStayInBudget: DemoStep = {
  name: "retries-stay-inside-their-budget",
  says: "A path of the catalog fails always and its route asks for three retries; the budget keeps them from multiplying the load.",
  async run(context) {
    await apply(context, retryRoute);
    await untilRouted(context, "retries");
    const before = await countsOf(context);
    const [broken, healthy] = await Promise.all([
      manyFrom(context, SHOP.web, LAYER7.brokenUrl, [REQUESTS, CONNECTIONS]),
      fromPod<LoopResult>(context, SHOP.web, ["loop", SHOP.catalogUrl, HEALTHY_PER_SECOND, HEALTHY_SECONDS]),
    ]);
    const after = await countsOf(context);
    await remove(context, retryRoute);
    await untilRouted(context, undefined);
    const retries = after.retries - before.retries;
    const denied = after.denied - before.denied;
    // To count is to ask once more.
    const asked = after.asked - before.asked - 1;
    const most = mostRetries(after.requests, broken.tookMs);
    const isAnswered = broken.statuses["503"] === REQUESTS && healthy.failed === 0;
    return {
      held: isAnswered && retries > 0 && retries <= most && denied > 0 && asked === REQUESTS + retries,
      evidence: [
        `${broken.sent} requests that all fail: ${retries} retries (${((100 * retries) / REQUESTS).toFixed(1)} %), ${denied} more were not allowed`,
        `the budget allows ${BUDGET.percent} % of the requests or ${BUDGET.perSecond} a second, here at most ${most}; without it: ${REQUESTS * RETRIES_PER_REQUEST}`,
        `the catalog was asked ${asked} times, ${(asked / REQUESTS).toFixed(2)} for each request`,
        `other paths meanwhile: ${describeLoop(healthy)}`,
      ],
    };
  },
};

/**
 * What either half of the budget can have given, together: which one counts changes with the rate. Requests from before may be
 * in the window too, so all there ever were are counted.
 */
function mostRetries(requests: number, tookMs: number): number {
  const byShare = (requests * BUDGET.percent) / 100;
  const byTime = (Math.ceil(tookMs / 1000) + 1) * BUDGET.perSecond;
  return Math.floor(byShare + byTime);
}

async function countsOf(context: DemoContext): Promise<Counts> {
  const sum = async (metric: string, label: string): Promise<number> =>
    (await samplesOf(context, LAYER7.waypointPod, metric))
      .filter(({ labels }) => labels[label]?.includes(new URL(SHOP.catalogUrl).hostname))
      .reduce((total, { value }) => total + value, 0);
  const [requests, retries, denied, answer] = await Promise.all([
    sum("istio_requests_total", "destination_service"),
    sum("ambit_waypoint_retries_total", "cluster"),
    sum("ambit_waypoint_retry_budget_denied_total", "cluster"),
    askPod(context, LAYER7.catalogPod, LAYER7.catalogPort, "/broken"),
  ]);
  return { requests, retries, denied, asked: Number((JSON.parse(answer) as { asked: number }).asked) };
}
