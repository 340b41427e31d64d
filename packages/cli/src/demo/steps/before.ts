import type { DemoStep } from "../check.ts";
import { podAddresses, watchLinks } from "../link.ts";
import { SHOP } from "../shop.ts";
import { describeGet, fromPod, type GetResult } from "../traffic.ts";

/** Before enrolment the shop works, and whoever watches the link can read it. */
export const plaintextBefore: DemoStep = {
  name: "plaintext-before-enrolment",
  says: "The shop runs un-meshed: it works, and its requests can be read on the link between the nodes.",
  needsNamespaces: true,
  async run(context) {
    const pods = await podAddresses(context, SHOP.namespace);
    let answer: GetResult | undefined;
    const link = await watchLinks(context, pods, async () => {
      answer = await fromPod<GetResult>(context, SHOP.web, ["get", SHOP.cartUrl]);
    });
    const works = answer?.status === 200;
    return {
      held: works && link.readable.length > 0 && link.hbone.length === 0,
      evidence: [
        describeGet(SHOP.cartUrl, answer as GetResult),
        `${link.other.length} plaintext segments between the pods, ${link.hbone.length} on port 15008`,
        ...link.readable.slice(0, 2).map((line) => `readable on the link: "${line}"`),
        ...link.files.map((file) => `capture: ${file}`),
      ],
    };
  },
};
