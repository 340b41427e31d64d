import { USE_WAYPOINT_LABEL } from "@ambit/shared/kube";
import type { PodStatus } from "@ambit/shared/lab-client";
import { waitForWaypoint } from "../../waypoint/wait-for-waypoint.ts";
import { type DemoContext, type DemoStep, eventually } from "../check.ts";
import { podOf, samplesOf } from "../in-pod.ts";
import { gateway, LAYER7 } from "../layer7.ts";
import { apply } from "../objects.ts";
import { SHOP, spiffe } from "../shop.ts";
import { describeGet, type GetResult, getFrom } from "../traffic.ts";
import { type AccessLine, accessLog, describeLine, refusalBy } from "../ztunnel-log.ts";

export const SERVICE_TIME = "x-envoy-upstream-service-time";
const REQUIRED_POLICY = `${SHOP.namespace}/ambit-waypoint-required-catalog`;

const podsOf = async (context: DemoContext): Promise<PodStatus[]> =>
  (await context.lab.status()).pods.filter((pod) => pod.namespace === SHOP.namespace);

export const waypointByOneObject: DemoStep = {
  name: "waypoint-by-one-object",
  says: "One Gateway and one label give the namespace a layer-7 proxy; its requests pass it now, and no pod is restarted.",
  async run(context) {
    const before = await podsOf(context);
    const started = performance.now();
    await apply(context, gateway);
    await waitForWaypoint(context.lab, { namespace: SHOP.namespace, name: LAYER7.waypoint }, 60_000);
    const readyMs = Math.round(performance.now() - started);
    const labels = { [USE_WAYPOINT_LABEL]: LAYER7.waypoint };
    await context.lab.label({ kind: "Namespace", name: SHOP.namespace, labels, overwrite: true });
    const answer = await eventually(async () => {
      const one = await getFrom(context, SHOP.web, SHOP.catalogUrl);
      return one.status === 200 && one.headers[SERVICE_TIME] !== undefined ? one : undefined;
    }, 15_000);
    const [hops, waypoint, after] = await Promise.all([
      hopsOf(context),
      podOf(context, LAYER7.waypointPod),
      podsOf(context),
    ]);
    const kept = before.filter((old) => after.some((pod) => pod.uid === old.uid && pod.pid === old.pid));
    return {
      held: answer !== undefined && hops !== undefined && before.length > 0 && kept.length === before.length,
      evidence: [
        `waypoint pod ${waypoint.name} on ${waypoint.node}, ready ${readyMs} ms after its Gateway was applied`,
        answer ? describePassage(answer) : "no request passed the waypoint",
        ...(hops ?? ["nobody tells of a hop from web to the waypoint and from there to the catalog"]),
        `${kept.length} of ${before.length} pods still run as the same process`,
      ],
    };
  },
};

const describePassage = (answer: GetResult): string =>
  `${describeGet(SHOP.catalogUrl, answer)}, ${SERVICE_TIME}: ${answer.headers[SERVICE_TIME]}`;

/** Who proved what to whom on both hops: the client's ztunnel tells of the first one, the waypoint's metrics of the second. */
async function hopsOf(context: DemoContext): Promise<readonly string[] | undefined> {
  return eventually(async () => {
    const first = (await accessLog(context)).findLast(isHopToWaypoint);
    const samples = await samplesOf(context, LAYER7.waypointPod, "istio_requests_total");
    const second = samples.find(
      ({ labels }) =>
        labels["source_principal"] === spiffe("web") && labels["destination_principal"] === spiffe("catalog"),
    );
    if (!first || !second) return undefined;
    const { source_principal: source, destination_principal: destination } = second.labels;
    return [describeLine(first), `waypoint: istio_requests_total ${second.value}: ${source} -> ${destination}`];
  }, 10_000);
}

const isHopToWaypoint = (line: AccessLine): boolean =>
  line["direction"] === "outbound" &&
  line["src.identity"] === spiffe("web") &&
  line["dst.identity"] === spiffe(LAYER7.waypoint);

export const noWayAroundWaypoint: DemoStep = {
  name: "no-way-around-the-waypoint",
  says: "The catalog's pod is called by its own address: its node refuses everybody but the waypoint, and says so.",
  async run(context) {
    const { ip } = await podOf(context, LAYER7.catalogPod);
    const url = `http://${ip}:${LAYER7.catalogPort}/`;
    const refused = await eventually(async () => {
      const answer = await getFrom(context, SHOP.web, url);
      return answer.status === 0 ? answer : undefined;
    }, 10_000);
    const line = await refusalBy(context, REQUIRED_POLICY);
    const allowed = await getFrom(context, SHOP.web, SHOP.catalogUrl);
    return {
      held: refused !== undefined && line?.["reason"] === "POLICY_DENIED" && allowed.status === 200,
      evidence: [
        refused ? describeGet(url, refused) : `${url} is still answered`,
        describeGet(SHOP.catalogUrl, allowed),
        line ? describeLine(line) : "no refusal with its policy in the logs",
      ],
    };
  },
};
