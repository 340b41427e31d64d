import { type DemoContext, type DemoStep, eventually } from "../check.ts";
import { podOf, readyPod } from "../in-pod.ts";
import { LAYER7 } from "../layer7.ts";
import { applyPath, change } from "../objects.ts";
import { SHOP } from "../shop.ts";
import { describeLoop, fromPod, type LoopResult, manyFrom } from "../traffic.ts";

const ZONE_LABEL = "topology.kubernetes.io/zone";
const PROBES = 40;
const REQUESTS = 400;
const CONNECTIONS = 8;
const RATE_PER_SECOND = 50;
const SECONDS = 5;

const CATALOG = { kind: "Service", namespace: SHOP.namespace, name: "catalog" };
/** The Deployment of the catalog on each node. */
const DEPLOYMENTS: Readonly<Record<string, string>> = { node1: "catalog", node2: "catalog-node2" };

/** How many answers came from each zone. */
type ByZone = Readonly<Record<string, number>>;

export const failoverBetweenZones: DemoStep = {
  name: "failover-between-zones",
  says: "The catalog runs in two zones and asks to be served close by; the near one goes, requests move to the other zone, and back.",
  async run(context) {
    const { node } = await podOf(context, LAYER7.waypointPod);
    const near = DEPLOYMENTS[node] ?? "";
    const zone = (await zonesOfNodes(context)).get(node) ?? "";
    await applyPath(context, LAYER7.catalogNode2);
    await readyPod(context, `${SHOP.namespace}/catalog-node2`);
    await change(context, CATALOG, { trafficDistribution: "PreferClose" });
    await untilZone(context, (other) => other === zone);
    const before = await zonesOf(context, await manyFrom(context, SHOP.web, SHOP.catalogUrl, [REQUESTS, CONNECTIONS]));
    const [during] = await Promise.all([
      fromPod<LoopResult>(context, SHOP.web, ["loop", SHOP.catalogUrl, RATE_PER_SECOND, SECONDS]),
      scale(context, near, 0),
    ]);
    await untilZone(context, (other) => other !== zone);
    const away = await manyFrom(context, SHOP.web, SHOP.catalogUrl, [REQUESTS, CONNECTIONS]);
    const awayZones = await zonesOf(context, away);
    await scale(context, near, 1);
    await readyPod(context, `${SHOP.namespace}/${near}`);
    const isBack = await untilZone(context, (other) => other === zone);
    const back = await manyFrom(context, SHOP.web, SHOP.catalogUrl, [REQUESTS, CONNECTIONS]);
    const backZones = await zonesOf(context, back);
    const failed = during.failed + away.failed + back.failed;
    return {
      held:
        before[zone] === REQUESTS &&
        failed === 0 &&
        (awayZones[zone] ?? 0) === 0 &&
        isBack &&
        backZones[zone] === REQUESTS,
      evidence: [
        `the waypoint is in ${zone} (${node}); answers came from ${describeZones(before)}`,
        `while ${near} was scaled to none, at ${RATE_PER_SECOND}/s: ${describeLoop(during)}`,
        `without it: ${describeLoop(away)}, answers came from ${describeZones(awayZones)}`,
        `with it again: ${describeLoop(back)}, answers came from ${describeZones(backZones)}`,
      ],
    };
  },
};

const scale = (context: DemoContext, name: string, replicas: number): Promise<void> =>
  change(context, { kind: "Deployment", namespace: SHOP.namespace, name }, { replicas });

/** Asks until every answer of a round comes from a zone that will do. */
async function untilZone(context: DemoContext, isWanted: (zone: string) => boolean): Promise<boolean> {
  const settled = await eventually(async () => {
    const round = await manyFrom(context, SHOP.web, SHOP.catalogUrl, [PROBES, CONNECTIONS]);
    const zones = Object.keys(await zonesOf(context, round));
    return round.failed === 0 && zones.every(isWanted) ? round : undefined;
  }, 15_000);
  return settled !== undefined;
}

async function zonesOf(context: DemoContext, { pods }: LoopResult): Promise<ByZone> {
  const [zones, status] = await Promise.all([zonesOfNodes(context), context.lab.status()]);
  const counts: Record<string, number> = {};
  for (const [name, count] of Object.entries(pods)) {
    const node = status.pods.find((pod) => pod.namespace === SHOP.namespace && pod.name === name)?.node;
    const zone = zones.get(node ?? "") ?? `a pod that is gone (${name})`;
    counts[zone] = (counts[zone] ?? 0) + count;
  }
  return counts;
}

async function zonesOfNodes(context: DemoContext): Promise<ReadonlyMap<string, string>> {
  const nodes = await context.lab.objects({ kind: "Node" });
  return new Map(nodes.map(({ metadata }) => [metadata.name, metadata.labels?.[ZONE_LABEL] ?? ""]));
}

const describeZones = (zones: ByZone): string =>
  Object.entries(zones)
    .map(([zone, count]) => `${zone} (${count})`)
    .join(", ") || "nowhere";
