/** Proxies that do not read, refuse everything, ask for everything or for what is not theirs. */
import { readFileSync } from "node:fs";
import { connect as connectHttp2, constants } from "node:http2";
import { networkInterfaces } from "node:os";
import { connect as connectTls } from "node:tls";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import { eventually } from "@ambit/testing/eventually";
import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "@jest/globals";
import { parseConfig } from "../src/config/index.ts";
import { gatewayYaml, SHOP, vip, waypointPod } from "../src/model/waypoint/test-waypoint.ts";
import { CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, LISTENER_TYPE_URL, ROUTE_TYPE_URL } from "../src/push/index.ts";
import type { DeltaClient } from "./delta-client.ts";
import { RunningControlPlane, subscribeAsWaypoint, waypointNode } from "./running-control-plane.ts";

let mesh: RunningControlPlane;
afterEach(() => mesh?.stop());

const pod = (name: string, ip: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: ${name} } }
spec: { nodeName: node1, serviceAccountName: ${name}, containers: [{ name: c }] }
status: { phase: Running, podIPs: [{ ip: ${ip} }], conditions: [{ type: Ready, status: "True" }] }
---
`;
const WEB = "Kubernetes//Pod/shop/web";
/** About `kilobytes` of policy as a proxy is sent it. */
const bigPolicy = (kilobytes: number, mark: number): string => {
  const names = Array.from(
    { length: kilobytes * 16 },
    (_, at) => `cluster.local/ns/n${mark}/sa/some-service-account-number-${at}`,
  );
  return `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: big, namespace: shop }\nspec: { action: DENY, rules: [{ from: [{ source: { principals: [${names.map((name) => `"${name}"`).join(",")}] } }] }] }\n`;
};

/** A client whose transport stops reading after its requests. */
function deafClient(): Promise<void> {
  const { port } = mesh.controlPlane.address;
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    ca: readFileSync(mesh.rootFile),
    servername: "localhost",
    ALPNProtocols: ["h2"],
  });
  socket.on("error", () => {});
  mesh.onStop(() => socket.destroy());
  return new Promise((resolve) => {
    socket.once("secureConnect", () => {
      const session = connectHttp2("https://localhost", {
        createConnection: () => socket,
        settings: { initialWindowSize: 0 },
      });
      session.on("error", () => {});
      const stream = session.request({
        [constants.HTTP2_HEADER_METHOD]: "POST",
        [constants.HTTP2_HEADER_PATH]:
          "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
        "content-type": "application/grpc",
        te: "trailers",
        authorization: "Bearer secret-2",
      });
      stream.on("error", () => {});
      for (const typeUrl of [AUTHORIZATION_TYPE_URL, ADDRESS_TYPE_URL]) {
        // DeltaDiscoveryRequest.type_url is field 2.
        const message = Buffer.concat([Buffer.from([0x12, typeUrl.length]), Buffer.from(typeUrl)]);
        const head = Buffer.alloc(5);
        head.writeUInt32BE(message.length, 1);
        stream.write(Buffer.concat([head, message]));
      }
      resolve();
    });
  });
}

describe("clients that do not read", () => {
  it("case 51: cost one response a type and a set of names, however much changes, and hold nobody up", async () => {
    mesh = await RunningControlPlane.start({ "pod.yaml": pod("web", "10.0.0.1"), "policy.yaml": bigPolicy(512, 0) });
    for (let at = 0; at < 10; at++) await deafClient();
    await eventually("they are connected", async () => (await mesh.told()).clients.length === 10);
    const fast = mesh.connect();
    fast.subscribe();
    await eventually("the fast one has it", () => fast.held.has(WEB) && fast.held.has("shop/big"));
    for (let at = 1; at <= 12; at++) {
      const version = fast.versions.get("shop/big");
      await mesh.write("policy.yaml", bigPolicy(512, at));
      await eventually("the fast one follows", () => fast.versions.get("shop/big") !== version);
    }
    const { clients } = await mesh.told();
    const slow = clients.filter(({ node }) => node === "node2");
    expect(slow).toHaveLength(10);
    for (const { types } of slow) {
      expect(types[AUTHORIZATION_TYPE_URL]).toMatchObject({ outstanding: true, due: 1 });
    }
    // Each deaf one was written one response of the type, the fast one all of them.
    const pushes = /^ambit_xds_pushes_total\{[^}]*Authorization[^}]*\} (\d+)/m.exec(await mesh.admin("/metrics"))?.[1];
    expect(Number(pushes)).toBe(10 + 13);
  }, 120_000);

  it("case 51: names asked for and given up again are forgotten, though nothing is ever acknowledged", async () => {
    mesh = await RunningControlPlane.start({ "pod.yaml": pod("web", "10.0.0.1") });
    const client = mesh.connect();
    client.autoAck = false;
    client.subscribe();
    await eventually("the first answer is there", () => client.responses.length === 2);
    for (let round = 0; round < 20; round++) {
      const names = Array.from({ length: 5_000 }, (_, at) => `none/${round}/${at}`);
      client.send({ typeUrl: ADDRESS_TYPE_URL, resourceNamesSubscribe: names });
      client.send({ typeUrl: ADDRESS_TYPE_URL, resourceNamesUnsubscribe: names });
    }
    client.send({ typeUrl: ADDRESS_TYPE_URL, resourceNamesSubscribe: ["none/last"] });
    const due = async () => (await mesh.told()).clients[0]?.types[ADDRESS_TYPE_URL]?.due ?? 0;
    await eventually("only the last is due", async () => (await due()) === 1);
    const address = client.responses.find(({ typeUrl }) => typeUrl === ADDRESS_TYPE_URL);
    if (address) client.ack(address);
    await eventually("it is answered", () => client.responses.at(-1)?.removedResources.length === 1);
    expect(client.responses.at(-1)?.removedResources).toEqual(["none/last"]);
  });

  it("case 51: a client may ask for a bounded number of names and types", async () => {
    mesh = await RunningControlPlane.start({ "pod.yaml": pod("web", "10.0.0.1") });
    const client = mesh.connect();
    client.autoAck = false;
    client.subscribe();
    for (let at = 0; at < 1_000; at++) client.send({ typeUrl: `type.googleapis.com/none.${at}` });
    for (let round = 0; round < 15; round++) {
      const names = Array.from({ length: 10_000 }, (_, at) => `none/${round}/${at}`);
      client.send({ typeUrl: ADDRESS_TYPE_URL, resourceNamesSubscribe: names });
    }
    client.send({ typeUrl: AUTHORIZATION_TYPE_URL, resourceNamesSubscribe: ["shop/none"] });
    const types = async () => (await mesh.told()).clients[0]?.types ?? {};
    await eventually("the last request was read", async () => (await types())[AUTHORIZATION_TYPE_URL]?.due === 1);
    expect(Object.keys(await types()).length).toBeLessThanOrEqual(16);
    expect((await types())[ADDRESS_TYPE_URL]?.due).toBeLessThanOrEqual(100_001);
  });
});

describe("clients that come too often", () => {
  it("case 51: keep their newest streams and lose their oldest, and nobody else's", async () => {
    mesh = await RunningControlPlane.start({ "pod.yaml": pod("web", "10.0.0.1") });
    const other = mesh.connect("secret-2");
    for (const typeUrl of [AUTHORIZATION_TYPE_URL, ADDRESS_TYPE_URL]) other.send({ typeUrl });
    await eventually("the other is there", () => other.held.has(WEB));
    const many: DeltaClient[] = [];
    for (let at = 0; at < 40; at++) {
      const client = mesh.connect();
      client.subscribe();
      await eventually("it is served", () => client.held.has(WEB));
      many.push(client);
    }
    await eventually("the oldest are gone", () => many.filter(({ error }) => error !== undefined).length === 24);
    expect(many.slice(-16).every(({ error }) => error === undefined)).toBe(true);
    expect(many[0]?.error).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expect(other.error).toBeUndefined();
    await eventually("17 are left", async () => (await mesh.told()).clients.length === 17);
  });
});

describe("clients that refuse", () => {
  it("case 52: the same response a thousand times are heard once", async () => {
    mesh = await RunningControlPlane.start({ "pod.yaml": pod("web", "10.0.0.1") });
    const client = mesh.connect();
    client.autoAck = false;
    client.subscribe();
    await eventually("the first answer is there", () => client.responses.length === 2);
    const [first] = client.responses;
    if (!first) throw new Error("no response");
    for (let at = 0; at < 1_000; at++) client.nack(first, `no ${at}`);
    client.nack({ ...first, nonce: "unheard-of" }, "no");
    client.send({ typeUrl: ADDRESS_TYPE_URL, resourceNamesSubscribe: ["none"] });
    const types = async () => (await mesh.told()).clients[0]?.types ?? {};
    await eventually(
      "the last request was read",
      async () => (await types())[ADDRESS_TYPE_URL]?.due === 1 || client.responses.length > 2,
    );
    expect((await types())[first.typeUrl]?.nacks).toBe(1);
    expect(mesh.logged.filter((line) => line.includes("refused"))).toHaveLength(1);
    expect(client.responses.filter(({ typeUrl }) => typeUrl === first.typeUrl)).toHaveLength(1);
  });

  it("case 52: everything they are sent get each change once, and hold nobody up", async () => {
    mesh = await RunningControlPlane.start({ "pod.yaml": pod("web", "10.0.0.1") });
    const sulky = mesh.connect();
    sulky.autoAck = false;
    sulky.subscribe();
    const fast = mesh.connect("secret-2");
    for (const typeUrl of [AUTHORIZATION_TYPE_URL, ADDRESS_TYPE_URL]) fast.send({ typeUrl });
    let answered = 0;
    const refuseAll = (): void => {
      for (const response of sulky.responses.slice(answered)) sulky.nack(response, "never");
      answered = sulky.responses.length;
    };
    await eventually("both are there", () => fast.held.has(WEB) && sulky.responses.length === 2);
    for (let at = 1; at <= 20; at++) {
      refuseAll();
      await mesh.write("pod.yaml", pod("web", `10.0.1.${at}`));
      await eventually("the fast one follows", () => JSON.stringify(fast.held.get(WEB))?.includes(`"10.0.1.${at}"`));
      await eventually("it was sent", () => sulky.responses.length > answered);
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(sulky.responses.filter(({ typeUrl }) => typeUrl === ADDRESS_TYPE_URL)).toHaveLength(21);
  });

  it("case 52: a waypoint that refuses listeners gets its next clusters and endpoints all the same", async () => {
    mesh = await RunningControlPlane.start({ "shop.yaml": SHOP }, ["shop/wp-1"]);
    const client = mesh.connect("shop-wp-1-token");
    client.autoAck = false;
    subscribeAsWaypoint(client, waypointNode("shop", "wp-1"), [vip("web"), vip("next")]);
    let answered = 0;
    const answerAll = (): void => {
      for (const response of client.responses.slice(answered)) {
        if (response.typeUrl === LISTENER_TYPE_URL) client.nack(response, "no such filter");
        else client.ack(response);
      }
      answered = client.responses.length;
    };
    await eventually("all types are there", () => {
      answerAll();
      return new Set(client.responses.map(({ typeUrl }) => typeUrl)).size === 4;
    });
    const listeners = client.responses.filter(({ typeUrl }) => typeUrl === LISTENER_TYPE_URL).length;
    const endpoints = client.versions.get(vip("web"));
    await mesh.write("more.yaml", pod("other", "10.0.0.9"));
    await mesh.write("web.yaml", SHOP_WEB_2);
    await eventually("new endpoints are there", () => {
      answerAll();
      return client.responses.some(
        ({ typeUrl, resources }) =>
          typeUrl === ENDPOINT_TYPE_URL &&
          resources.some(({ version, name }) => name === vip("web") && version !== endpoints),
      );
    });
    expect(client.responses.filter(({ typeUrl }) => typeUrl === LISTENER_TYPE_URL)).toHaveLength(listeners);
  });
});

const SHOP_WEB_2 = `
apiVersion: v1
kind: Pod
metadata: { name: web-2, namespace: shop, labels: { app: web }, annotations: { ambient.istio.io/redirection: enabled } }
spec: { nodeName: node1, serviceAccountName: web-2, containers: [{ name: c }] }
status: { phase: Running, podIPs: [{ ip: 10.0.0.22 }], conditions: [{ type: Ready, status: "True" }] }
---
`;

describe("clients that ask for what is not theirs", () => {
  const BANK = [
    "apiVersion: v1\nkind: Namespace\nmetadata: { name: bank, labels: { istio.io/use-waypoint: wp } }\n---\n",
    gatewayYaml().replaceAll("shop", "bank"),
    waypointPod().replaceAll("shop", "bank").replaceAll("10.0.9.1", "10.0.9.2"),
    "apiVersion: v1\nkind: Service\nmetadata: { name: vault, namespace: bank }\nspec: { clusterIP: 10.96.7.1, selector: { app: vault }, ports: [{ name: http, port: 80 }] }\n---\n",
  ].join("");
  const VAULT = "inbound-vip|80|http|vault.bank.svc.cluster.local";
  const TYPES = [CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, LISTENER_TYPE_URL, ROUTE_TYPE_URL];

  it("case 54: a waypoint is sent nothing of another namespace's, by wildcard or by name", async () => {
    mesh = await RunningControlPlane.start({ "shop.yaml": SHOP, "bank.yaml": BANK }, ["shop/wp-1", "bank/wp-1"]);
    const owner = mesh.connect("bank-wp-1-token");
    subscribeAsWaypoint(owner, waypointNode("bank", "wp-1"), [VAULT]);
    await eventually("its own waypoint is", () => owner.held.has(VAULT) && owner.held.has("main_internal"));
    const thief = mesh.connect("shop-wp-1-token");
    subscribeAsWaypoint(thief, waypointNode("shop", "wp-1"), [VAULT, vip("web")]);
    await eventually("it has its own", () => thief.held.has("main_internal") && thief.held.has(vip("web")));
    for (const typeUrl of TYPES) thief.send({ typeUrl, resourceNamesSubscribe: [VAULT, "bank/wp", "*"] });
    await new Promise((resolve) => setTimeout(resolve, 500));
    const bytes = thief.responses.flatMap(({ resources }) =>
      resources.map(({ resource }) => Buffer.from(resource?.value ?? []).toString("latin1")),
    );
    expect(thief.held.has(VAULT)).toBe(false);
    expect(bytes.filter((text) => text.includes("vault"))).toEqual([]);
  });

  it("case 54: who says it is another namespace's waypoint is refused", async () => {
    mesh = await RunningControlPlane.start({ "shop.yaml": SHOP, "bank.yaml": BANK }, ["shop/wp-1", "bank/wp-1"]);
    const liar = mesh.connect("shop-wp-1-token");
    subscribeAsWaypoint(liar, waypointNode("bank", "wp-1"), [VAULT]);
    await eventually("it is refused", () => liar.error !== undefined);
    expect(liar.held.size).toBe(0);
  });

  it("case 54: there is no debugging by xDS", async () => {
    mesh = await RunningControlPlane.start({ "shop.yaml": SHOP });
    const client = mesh.connect();
    const node = { id: "ztunnel~127.0.0.1~zt.ambit-system~x", metadata: { NODE_NAME: "node1" } };
    const types = ["istio.io/debug", "istio.io/connections", "type.googleapis.com/istio.v1.Secret", "core/v1/Secret"];
    for (const typeUrl of types) client.send({ typeUrl, node, resourceNamesSubscribe: ["*", "syncz", "config_dump"] });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(client.responses.flatMap(({ resources }) => resources)).toEqual([]);
  });

  it("case 54: the admin port is loopback's, by any configuration", async () => {
    mesh = await RunningControlPlane.start();
    expect(mesh.controlPlane.admin).toMatchObject({ ip: "127.0.0.1" });
    const env = { AMBIT_OBJECTS: "folder:/x", AMBIT_STATE_DIR: "/x", AMBIT_JOIN_TOKENS: "/x" };
    for (const address of ["0.0.0.0:15014", "[::]:15014", "10.0.0.1:15014", "169.254.1.1:15014", ":15014"]) {
      expect({ address, ok: parseConfig({ ...env, AMBIT_ADMIN: address }).ok }).toEqual({ address, ok: false });
    }
    const elsewhere = Object.values(networkInterfaces())
      .flatMap((each) => each ?? [])
      .find(({ internal, family }) => !internal && family === "IPv4");
    if (elsewhere) {
      const url = `http://${elsewhere.address}:${mesh.controlPlane.admin.port}/debug/status`;
      await expect(fetch(url)).rejects.toThrow();
    }
  });

  it("case 54: the port of proxies tells nothing to who only speaks HTTP", async () => {
    mesh = await RunningControlPlane.start({ "shop.yaml": SHOP });
    const { port } = mesh.controlPlane.address;
    const session = connectHttp2(`https://127.0.0.1:${port}`, {
      ca: readFileSync(mesh.rootFile),
      servername: "localhost",
    });
    mesh.onStop(() => session.destroy());
    session.on("error", () => {});
    for (const path of ["/debug/status", "/metrics", "/debug/config_dump", "/quitquitquit", "/readyz"]) {
      const stream = session.request({ ":path": path });
      let body = "";
      stream.on("data", (chunk) => {
        body += String(chunk);
      });
      stream.on("error", () => {});
      await new Promise((resolve) => stream.once("close", resolve));
      expect(body).toBe("");
    }
  });
});
