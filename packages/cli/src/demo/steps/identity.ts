import { type DemoStep, eventually } from "../check.ts";
import { SHOP, spiffe } from "../shop.ts";
import { fromPod } from "../traffic.ts";
import { accessLog, describeLine } from "../ztunnel-log.ts";

export const identitiesAtBothEnds: DemoStep = {
  name: "spiffe-identities-at-both-ends",
  says: "Both nodes' proxies log who called whom, each by the certificate the other showed.",
  async run(context) {
    await fromPod(context, SHOP.web, ["get", SHOP.cartUrl]);
    const found = await eventually(async () => {
      const lines = (await accessLog(context)).filter(
        (line) => line["src.identity"] === spiffe("web") && line["dst.identity"] === spiffe("cart"),
      );
      const outbound = lines.findLast((line) => line["direction"] === "outbound");
      const inbound = lines.findLast((line) => line["direction"] === "inbound");
      return outbound && inbound ? [outbound, inbound] : undefined;
    }, 5_000);
    if (!found) return { held: false, evidence: [`no pair of log lines from ${spiffe("web")} to ${spiffe("cart")}`] };
    return { held: true, evidence: found.map(describeLine) };
  },
};
