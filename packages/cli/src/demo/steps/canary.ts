import { believableHits } from "../binomial.ts";
import type { DemoStep } from "../check.ts";
import { readyPod } from "../in-pod.ts";
import { LAYER7, splitRoute } from "../layer7.ts";
import { apply, applyPath, remove } from "../objects.ts";
import { SHOP } from "../shop.ts";
import { manyFrom, untilRouted } from "../traffic.ts";

const REQUESTS = 4_000;
const CONNECTIONS = 16;
const REQUESTS_AFTER = 400;
const RISK = 1e-6;

export const canaryAtOnePercent: DemoStep = {
  name: "canary-at-one-percent",
  says: "A new version of the catalog gets one request of a hundred; then, by one changed number, all of them.",
  async run(context) {
    await applyPath(context, LAYER7.catalogV2);
    await readyPod(context, `${SHOP.namespace}/catalog-v2`);
    await apply(context, splitRoute(1));
    await untilRouted(context, "v2-1");
    const split = await manyFrom(context, SHOP.web, SHOP.catalogUrl, [REQUESTS, CONNECTIONS]);
    await apply(context, splitRoute(100));
    const switchedMs = await untilRouted(context, "v2-100");
    const all = await manyFrom(context, SHOP.web, SHOP.catalogUrl, [REQUESTS_AFTER, CONNECTIONS]);
    await remove(context, splitRoute(100));
    await untilRouted(context, undefined);
    const { least, most } = believableHits(REQUESTS, 0.01, RISK);
    const hits = split.versions["v2"] ?? 0;
    const hitsAfter = all.versions["v2"] ?? 0;
    return {
      held:
        split.failed === 0 && hits >= least && hits <= most && switchedMs !== undefined && hitsAfter === REQUESTS_AFTER,
      evidence: [
        `weights 99 and 1: ${hits} of ${split.sent} requests reached v2 (${((100 * hits) / split.sent).toFixed(2)} %), ${split.failed} failed`,
        `believable for 1 %: ${least} to ${most}; a fair split is outside once in ${1 / RISK} runs`,
        `weights 0 and 100: in force within ${switchedMs ?? "10000 and more"} ms, then ${hitsAfter} of ${all.sent} reached v2`,
      ],
    };
  },
};
