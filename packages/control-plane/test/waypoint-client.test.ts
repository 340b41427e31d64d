import { createHash } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ListenerSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener";
import { createLogSystem } from "@ambit/shared/log";
import { systemClock } from "@ambit/shared/time";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import { eventually } from "@ambit/testing/eventually";
import { temporaryFolder } from "@ambit/testing/files";
import { fromBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { type ControlPlane, startControlPlane } from "../src/app.ts";
import { parseConfig } from "../src/config/index.ts";
import { enrolledPod, gatewayYaml, policyYaml, routeYaml, SHOP, vip } from "../src/model/waypoint/test-waypoint.ts";
import { CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, LISTENER_TYPE_URL, ROUTE_TYPE_URL } from "../src/push/index.ts";
import { DeltaClient } from "./delta-client.ts";

let dir: string;
let cleanups: (() => unknown)[] = [];

beforeEach(async () => {
  dir = temporaryFolder("wp");
  await mkdir(join(dir, "objects"));
  cleanups = [];
  const digest = (token: string): string => createHash("sha256").update(token).digest("hex");
  const workload = (pod: string) => ({ namespace: "shop", serviceAccount: pod, pod, sha256: digest(`${pod}-token`) });
  await writeFile(
    join(dir, "tokens.json"),
    JSON.stringify({ nodes: { node1: digest("secret-1") }, workloads: ["wp-1", "web-1", "wp-9"].map(workload) }),
  );
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

async function start(): Promise<ControlPlane> {
  const config = parseConfig({
    AMBIT_OBJECTS: `folder:${join(dir, "objects")}`,
    AMBIT_STATE_DIR: join(dir, "state"),
    AMBIT_JOIN_TOKENS: join(dir, "tokens.json"),
    AMBIT_LISTEN: "127.0.0.1:19999",
    AMBIT_ADMIN: "127.0.0.1:19998",
  });
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  const { listen, admin } = config.value;
  const free = { ...config.value, listen: { ...listen, port: 0 }, admin: { ...admin, port: 0 } };
  const output = { write: () => {} };
  const logs = createLogSystem({ format: "plain", levels: { fallback: "warn", scopes: {} }, output });
  const running = await startControlPlane(free, { clock: systemClock, logs, requestShutdown: () => {} });
  cleanups.push(() => running.stop());
  return running;
}

function connect(controlPlane: ControlPlane, token: string): DeltaClient {
  const rootFile = join(dir, "state", "root-cert.pem");
  const client = new DeltaClient({ port: controlPlane.address.port, rootFile, token });
  cleanups.push(() => client.close());
  return client;
}

async function write(name: string, text: string): Promise<void> {
  await writeFile(join(dir, `${name}.tmp`), text);
  await rename(join(dir, `${name}.tmp`), join(dir, "objects", name));
}

const NODE = {
  id: "waypoint~10.0.9.1~wp-1.shop~shop.svc.cluster.local",
  metadata: { NAMESPACE: "shop", SERVICE_ACCOUNT: "wp-1" },
};

/** Asks as a waypoint does: clusters and listeners for all, the rest by the names it learns. */
function subscribe(client: DeltaClient, names: readonly string[] = [vip("next"), vip("web")]): void {
  client.send({ typeUrl: CLUSTER_TYPE_URL, node: NODE });
  client.send({ typeUrl: ENDPOINT_TYPE_URL, resourceNamesSubscribe: [...names] });
  client.send({ typeUrl: LISTENER_TYPE_URL });
  client.send({ typeUrl: ROUTE_TYPE_URL, resourceNamesSubscribe: [...names] });
}

const typesOf = (client: DeltaClient): readonly string[] =>
  client.responses.map(({ typeUrl }) => typeUrl.slice(typeUrl.lastIndexOf(".") + 1));
const chainsOf = (client: DeltaClient): readonly string[] => {
  const bytes = client.held.get("main_internal");
  return bytes instanceof Uint8Array ? fromBinary(ListenerSchema, bytes).filterChains.map(({ name }) => name) : [];
};
const DIRECT = ["direct-http", "direct-tcp"];

describe("a waypoint as client", () => {
  it("is sent clusters, endpoints, listeners, routes, each before what names it", async () => {
    await write("shop.yaml", SHOP);
    const client = connect(await start(), "wp-1-token");
    subscribe(client);
    await eventually("all four types are there", () => client.responses.length >= 4);
    expect(typesOf(client)).toEqual(["Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"]);
    expect(chainsOf(client)).toEqual([vip("next"), vip("web"), ...DIRECT]);
  });

  it("is sent one resource for a change of one route", async () => {
    await write("shop.yaml", SHOP);
    const client = connect(await start(), "wp-1-token");
    subscribe(client);
    await eventually("all four types are there", () => client.responses.length >= 4);
    const before = client.responses.length;
    await write("route.yaml", routeYaml("r", "web", "{ backendRefs: [{ name: next, port: 80 }] }"));
    await eventually("the route is there", () => client.responses.length > before);
    expect(client.responses.slice(before).map(({ resources }) => resources.map(({ name }) => name))).toEqual([
      [vip("web")],
    ]);
  });

  it("waits with listeners until the endpoints of new clusters were asked for", async () => {
    await write("shop.yaml", SHOP);
    const client = connect(await start(), "wp-1-token");
    client.send({ typeUrl: CLUSTER_TYPE_URL, node: NODE });
    client.send({ typeUrl: LISTENER_TYPE_URL });
    await eventually("clusters are there", () => client.responses.length >= 1);
    client.send({ typeUrl: ENDPOINT_TYPE_URL, resourceNamesSubscribe: [vip("next"), vip("web")] });
    await eventually("listeners are there", () => client.responses.length >= 3);
    expect(typesOf(client)).toEqual(["Cluster", "ClusterLoadAssignment", "Listener"]);
  });

  it("gets the listeners every waypoint has before its Gateway exists, and its services once it does", async () => {
    await write("shop.yaml", SHOP.replace(gatewayYaml(), ""));
    const client = connect(await start(), "wp-1-token");
    subscribe(client);
    await eventually("the listeners are there", () => chainsOf(client).length === 2);
    expect(chainsOf(client)).toEqual(DIRECT);
    await write("gateway.yaml", gatewayYaml());
    await eventually("the chains are there", () => chainsOf(client).length === 4);
  });

  it("is told workloads and policies too, as everybody is", async () => {
    await write("shop.yaml", SHOP);
    const client = connect(await start(), "wp-1-token");
    for (const typeUrl of [ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL]) client.send({ typeUrl, node: NODE });
    await eventually("workloads are there", () => client.held.has("Kubernetes//Pod/shop/web-1"));
  });

  it.each([
    ["another pod's name", { ...NODE, id: "waypoint~10.0.9.1~web-1.shop~shop.svc.cluster.local" }],
    ["another account", { ...NODE, metadata: { SERVICE_ACCOUNT: "web-1" } }],
  ])("is refused when it gives %s", async (_what, node) => {
    await write("shop.yaml", SHOP);
    const client = connect(await start(), "wp-1-token");
    client.send({ typeUrl: CLUSTER_TYPE_URL, node });
    await eventually("it is refused", () => client.error !== undefined);
    expect(client.error?.code).toBe(status.PERMISSION_DENIED);
  });

  it.each([
    ["a pod that is no waypoint", "web-1-token"],
    ["a pod that does not exist", "wp-9-token"],
  ])("is not %s", async (_what, token) => {
    await write("shop.yaml", SHOP);
    const client = connect(await start(), token);
    await eventually("it is refused", () => client.error !== undefined);
    expect(client.error?.code).toBe(status.PERMISSION_DENIED);
  });

  it("loses its stream with its pod", async () => {
    await write("shop.yaml", SHOP);
    const client = connect(await start(), "wp-1-token");
    subscribe(client);
    await eventually("all four types are there", () => client.responses.length >= 4);
    await write("shop.yaml", enrolledPod("web-1", "10.0.0.1", "web"));
    await eventually("the stream ends", () => client.error !== undefined);
    expect(client.error?.details).toContain("no running pod shop/wp-1");
  });
});

describe("what is in force", () => {
  const inForce = async (controlPlane: ControlPlane): Promise<string | undefined> => {
    const answer = await fetch(`http://127.0.0.1:${controlPlane.admin.port}/debug/status`);
    const { conditions } = (await answer.json()) as {
      conditions: Record<string, { type: string; status: string; message: string }[]>;
    };
    const found = conditions["AuthorizationPolicy/shop/p"]?.find(({ type }) => type === "ambit.io/InForce");
    return found && `${found.status} ${found.message}`;
  };

  it("is what every replica has acknowledged, and not what one refused", async () => {
    await write("shop.yaml", SHOP + policyYaml("p", "rules: [{}]"));
    const controlPlane = await start();
    await eventually(
      "nobody is there",
      async () => (await inForce(controlPlane))?.startsWith("False no replica") ?? false,
    );
    const client = connect(controlPlane, "wp-1-token");
    subscribe(client);
    await eventually("it is in force", async () => (await inForce(controlPlane)) === "True 1 of 1 proxies of shop/wp");
    client.autoAck = false;
    const before = client.responses.length;
    await write("shop.yaml", SHOP + policyYaml("p", "action: DENY, rules: [{}]"));
    await eventually("the listener is there", () => client.responses.length > before);
    await eventually(
      "it is on its way",
      async () => (await inForce(controlPlane)) === "False 0 of 1 proxies of shop/wp",
    );
    const last = client.responses.at(-1);
    if (last) client.nack(last, "no such filter");
    await eventually("it is refused", async () => (await inForce(controlPlane))?.includes("no such filter") ?? false);
  });
});

describe("a node proxy as client", () => {
  it("gets nothing of what waypoints are sent", async () => {
    await write("shop.yaml", SHOP);
    const client = connect(await start(), "secret-1");
    subscribe(client);
    await eventually("all four are answered", () => client.responses.length >= 4);
    expect(client.responses.flatMap(({ resources }) => resources)).toEqual([]);
  });
});
