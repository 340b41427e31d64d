import type { PodStatus } from "@ambit/shared/lab-client";
import { type DemoContext, type DemoStep, eventually } from "../check.ts";
import { podAddresses, startsTlsRecord, watchLinks } from "../link.ts";
import { SHOP } from "../shop.ts";
import { describeGet, fromPod, type GetResult } from "../traffic.ts";

const podsOf = async (context: DemoContext): Promise<PodStatus[]> =>
  (await context.lab.status()).pods.filter((pod) => pod.namespace === SHOP.namespace);

export const enrolByLabel: DemoStep = {
  name: "enrolled-by-a-label-without-restart",
  says: "One label on the namespace enrols the running pods; no process is restarted.",
  async run(context) {
    const before = await podsOf(context);
    const started = performance.now();
    await context.lab.label({
      kind: "Namespace",
      name: SHOP.namespace,
      labels: { "istio.io/dataplane-mode": "ambient" },
      overwrite: true,
    });
    const after = await eventually(async () => {
      const pods = await podsOf(context);
      return pods.every((pod) => pod.enrolled) ? pods : undefined;
    }, 20_000);
    const tookMs = Math.round(performance.now() - started);
    const kept = (after ?? []).filter((pod) => before.some((old) => old.uid === pod.uid && old.pid === pod.pid));
    return {
      held: after !== undefined && after.length > 0 && kept.length === after.length,
      evidence: [
        `${after?.length ?? 0} of ${before.length} pods enrolled after ${tookMs} ms`,
        `${kept.length} of them still run as the same process`,
      ],
    };
  },
};

export const onlyHboneAfter: DemoStep = {
  name: "only-tls-on-15008-after-enrolment",
  says: "The same request again: on the link there is now nothing but TLS on port 15008.",
  needsNamespaces: true,
  async run(context) {
    const pods = await podAddresses(context, SHOP.namespace);
    // The control plane tells the other node within milliseconds; until then the old path still works.
    const settled = await eventually(async () => {
      const link = await watchLinks(context, pods, () => fromPod<GetResult>(context, SHOP.web, ["get", SHOP.cartUrl]));
      return link.other.length === 0 && link.hbone.length > 0 ? link : undefined;
    }, 10_000);
    if (!settled) return { held: false, evidence: ["plaintext between the pods was still seen after 10 s"] };
    let answer: GetResult | undefined;
    const link = await watchLinks(context, pods, async () => {
      answer = await fromPod<GetResult>(context, SHOP.web, ["get", SHOP.cartUrl]);
    });
    const records = link.hbone.filter(startsTlsRecord).length;
    return {
      held:
        answer?.status === 200 &&
        link.hbone.length > 0 &&
        link.other.length === 0 &&
        link.readable.length === 0 &&
        records > 0,
      evidence: [
        describeGet(SHOP.cartUrl, answer as GetResult),
        `${link.hbone.length} segments on port 15008 (${records} start a TLS record), ${link.other.length} on any other port`,
        `${link.readable.length} readable lines`,
        ...link.files.map((file) => `capture: ${file}`),
      ],
    };
  },
};

export const plaintextClientsStillWork: DemoStep = {
  name: "unenrolled-clients-still-work",
  says: "A client outside the mesh still reaches the shop: enrolment breaks nobody until STRICT is asked for.",
  async run(context) {
    const answer = await fromPod<GetResult>(context, SHOP.outsider, ["get", SHOP.webUrl]);
    return { held: answer.status === 200, evidence: [describeGet(SHOP.webUrl, answer)] };
  },
};

export const serverFirst: DemoStep = {
  name: "server-first-protocol",
  says: "The store speaks first, like a database; nothing waits for the client's first byte.",
  async run(context) {
    const answer = await fromPod<{ banner: string; error: string }>(context, SHOP.cart, [
      "banner",
      SHOP.storeHost,
      SHOP.storePort,
    ]);
    return { held: answer.banner !== "", evidence: [answer.banner ? `banner: "${answer.banner}"` : answer.error] };
  },
};
