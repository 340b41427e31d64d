import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createLogSystem } from "@ambit/shared/log";
import { systemClock } from "@ambit/shared/time";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import { eventually } from "@ambit/testing/eventually";
import { temporaryFolder } from "@ambit/testing/files";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { type ControlPlane, startControlPlane } from "../src/app.ts";
import { parseConfig } from "../src/config/index.ts";
import { DeltaClient } from "./delta-client.ts";

let dir: string;
let cleanups: (() => unknown)[] = [];
let logged: string[];

beforeEach(async () => {
  dir = temporaryFolder("cp");
  await mkdir(join(dir, "objects"));
  cleanups = [];
  logged = [];
  const digest = (token: string) => createHash("sha256").update(token).digest("hex");
  await writeFile(
    join(dir, "tokens.json"),
    JSON.stringify({ nodes: { node1: digest("secret-1"), node2: digest("secret-2") } }),
  );
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

async function start(env: Record<string, string> = {}): Promise<ControlPlane> {
  const config = parseConfig({
    AMBIT_OBJECTS: `folder:${join(dir, "objects")}`,
    AMBIT_STATE_DIR: join(dir, "state"),
    AMBIT_JOIN_TOKENS: join(dir, "tokens.json"),
    AMBIT_LISTEN: "127.0.0.1:19999",
    AMBIT_ADMIN: "127.0.0.1:19998",
    ...env,
  });
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  const free = {
    ...config.value,
    listen: { ...config.value.listen, port: 0 },
    admin: { ...config.value.admin, port: 0 },
  };
  const logs = createLogSystem({
    format: "plain",
    levels: { fallback: "debug", scopes: {} },
    output: { write: (line) => void logged.push(line) },
  });
  const running = await startControlPlane(free, { clock: systemClock, logs, requestShutdown: () => {} });
  cleanups.push(() => running.stop());
  return running;
}

function connect(controlPlane: ControlPlane, token?: string): DeltaClient {
  const client = new DeltaClient({
    port: controlPlane.address.port,
    rootFile: join(dir, "state", "root-cert.pem"),
    ...(token !== undefined && { token }),
  });
  cleanups.push(() => client.close());
  return client;
}

async function write(name: string, text: string): Promise<void> {
  await writeFile(join(dir, `${name}.tmp`), text);
  await rename(join(dir, `${name}.tmp`), join(dir, "objects", name));
}

async function adminJson(controlPlane: ControlPlane, path: string): Promise<Record<string, unknown>> {
  const answer = await fetch(`http://127.0.0.1:${controlPlane.admin.port}${path}`);
  return (await answer.json()) as Record<string, unknown>;
}
const adminText = async (controlPlane: ControlPlane, path: string): Promise<string> =>
  (await fetch(`http://127.0.0.1:${controlPlane.admin.port}${path}`)).text();

const pod = (name: string, ip: string, labels = `app: ${name}`): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { ${labels} } }
spec: { nodeName: node1, serviceAccountName: ${name}, containers: [{ name: c }] }
status: { phase: Running, podIPs: [{ ip: ${ip} }], conditions: [{ type: Ready, status: "True" }] }
---
`;
const policy = (name: string, spec: string): string =>
  `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: ${name}, namespace: shop }\nspec: { ${spec} }\n---\n`;
const SELECT_WEB = "selector: { matchLabels: { app: web } }";
const WEB = "Kubernetes//Pod/shop/web";
const typesOf = (client: DeltaClient): readonly string[] =>
  client.responses.map(({ typeUrl }) => (typeUrl === ADDRESS_TYPE_URL ? "address" : "policy"));

describe("delta ADS", () => {
  it("gives a new client everything, policies first, and then only what changes", async () => {
    await write(
      "a.yaml",
      pod("web", "10.0.0.1") + pod("cart", "10.0.0.2") + policy("p", `${SELECT_WEB}, action: DENY, rules: [{}]`),
    );
    const client = connect(await start());
    client.subscribe();
    await eventually("everything is there", () => client.held.size === 3);
    expect(typesOf(client)).toEqual(["policy", "address"]);
    expect(client.held.get(WEB)).toMatchObject({
      workload: { authorizationPolicies: ["shop/p"], addresses: ["10.0.0.1"] },
    });
    const before = client.responses.length;
    await write("b.yaml", pod("store", "10.0.0.3"));
    await eventually("the new pod is there", () => client.held.has("Kubernetes//Pod/shop/store"));
    expect(client.responses.slice(before).map(({ resources }) => resources.length)).toEqual([1]);
    await unlink(join(dir, "objects", "b.yaml"));
    await eventually("the pod is gone", () => !client.held.has("Kubernetes//Pod/shop/store"));
  });

  it("answers an empty mesh with one empty response a type, because that is news too", async () => {
    const client = connect(await start());
    client.subscribe();
    await eventually("both types are answered", () => client.responses.length === 2);
    expect(
      client.responses.map(({ resources, removedResources }) => resources.length + removedResources.length),
    ).toEqual([0, 0]);
  });

  it("case 44: sends a policy before the workload that names it, and takes it away after", async () => {
    await write("a.yaml", pod("web", "10.0.0.1"));
    const client = connect(await start());
    client.subscribe();
    await eventually("the pod is there", () => client.held.has(WEB));
    client.responses.length = 0;
    await write("p.yaml", policy("p", `${SELECT_WEB}, action: DENY, rules: [{}]`));
    await eventually("the policy is named", () => client.responses.length === 2);
    expect(typesOf(client)).toEqual(["policy", "address"]);
    client.responses.length = 0;
    await unlink(join(dir, "objects", "p.yaml"));
    await eventually("the policy is gone", () => client.responses.length === 2);
    expect(typesOf(client)).toEqual(["address", "policy"]);
    expect(client.responses[1]?.removedResources).toEqual(["shop/p"]);
  });

  it("sends a client that reconnects, even to a restarted control plane, only what it does not have", async () => {
    await write("a.yaml", pod("web", "10.0.0.1") + pod("cart", "10.0.0.2") + policy("p", "action: DENY"));
    const first = await start();
    const client = connect(first);
    client.subscribe();
    await eventually("everything is there", () => client.held.size === 3);
    const versions = Object.fromEntries([...client.versions].filter(([name]) => name.startsWith("Kubernetes")));
    client.close();
    const root = await readFile(join(dir, "state", "root-cert.pem"), "utf8");
    await first.stop();
    await write("a.yaml", pod("web", "10.0.0.1") + pod("cart", "10.0.0.9"));
    const second = await start();
    expect(await readFile(join(dir, "state", "root-cert.pem"), "utf8")).toBe(root);
    const again = connect(second);
    again.subscribe({
      [ADDRESS_TYPE_URL]: { ...versions, "Kubernetes//Pod/shop/gone": "x" },
      [AUTHORIZATION_TYPE_URL]: { "shop/p": "" },
    });
    await eventually("the difference is there", () => again.held.size === 1 && again.responses.length >= 2);
    const all = again.responses.flatMap(({ resources, removedResources }) => [
      ...resources.map(({ name }) => name),
      ...removedResources,
    ]);
    await eventually("removals too", () => again.responses.flatMap((each) => each.removedResources).length === 2);
    expect(all).toContain("Kubernetes//Pod/shop/cart");
    expect(all).not.toContain(WEB);
    expect(again.responses.flatMap((each) => each.removedResources).sort()).toEqual([
      "Kubernetes//Pod/shop/gone",
      "shop/p",
    ]);
  });

  it("answers on-demand clients by name and by network/ip, and nothing else", async () => {
    await write("a.yaml", pod("web", "10.0.0.1") + pod("cart", "10.0.0.2"));
    const client = connect(await start());
    client.send({ typeUrl: ADDRESS_TYPE_URL, resourceNamesSubscribe: ["*"], resourceNamesUnsubscribe: ["*"] });
    client.send({ typeUrl: AUTHORIZATION_TYPE_URL });
    await eventually("both types are answered", () => client.responses.length === 2);
    expect(client.held.size).toBe(0);
    client.send({ typeUrl: ADDRESS_TYPE_URL, resourceNamesSubscribe: ["/10.0.0.1", "/10.9.9.9"] });
    await eventually("it is answered", () => client.responses.length === 3);
    expect([...client.held.keys()]).toEqual([WEB]);
    expect(client.responses[2]?.resources[0]?.aliases).toEqual(["/10.0.0.1"]);
    expect(client.responses[2]?.removedResources).toEqual(["/10.9.9.9"]);
  });

  it("case 51: a client that does not read costs a set of names and then gets the latest state", async () => {
    await write("a.yaml", pod("web", "10.0.0.1"));
    const controlPlane = await start();
    const slow = connect(controlPlane);
    slow.autoAck = false;
    slow.subscribe();
    await eventually("the first answer is there", () => slow.responses.length === 2);
    slow.pause();
    const fast = connect(controlPlane, "secret-2");
    fast.send({ typeUrl: ADDRESS_TYPE_URL });
    for (let n = 1; n <= 20; n++) {
      await write("a.yaml", pod("web", `10.0.1.${n}`));
      await eventually("the fast client follows", () => JSON.stringify(fast.held.get(WEB))?.includes(`"10.0.1.${n}"`));
    }
    const clients = (await adminJson(controlPlane, "/debug/status"))["clients"] as {
      node: string;
      types: Record<string, { due: number; outstanding: boolean }>;
    }[];
    const seen = clients.find(({ node }) => node === "node1")?.types[ADDRESS_TYPE_URL];
    expect(seen).toMatchObject({ outstanding: true, due: 1 });
    slow.autoAck = true;
    slow.resume();
    for (const response of slow.responses.slice()) slow.ack(response);
    await eventually("the slow client catches up", () => JSON.stringify(slow.held.get(WEB)).includes('"10.0.1.20"'));
    const updates = slow.responses.filter(({ typeUrl }) => typeUrl === ADDRESS_TYPE_URL);
    expect(updates.length).toBe(2);
  });

  it("case 52: a client that refuses is logged and counted, and not asked again until something changes", async () => {
    await write("a.yaml", pod("web", "10.0.0.1"));
    const controlPlane = await start();
    const client = connect(controlPlane);
    client.autoAck = false;
    client.subscribe();
    await eventually("the first answer is there", () => client.responses.length === 2);
    for (const response of client.responses.slice()) client.nack(response, `${WEB}: no such thing`);
    await eventually("it is counted", async () =>
      /ambit_xds_nacks_total\{.*Address.*\} 1/.test(await adminText(controlPlane, "/metrics")),
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(client.responses.length).toBe(2);
    expect(logged.filter((line) => line.includes("refused") && line.includes("no such thing")).length).toBe(2);
    await write("a.yaml", pod("web", "10.0.0.2"));
    await eventually("the change is sent", () => client.responses.length === 3);
  });

  it.each([
    ["no token", "", {}, status.UNAUTHENTICATED],
    ["an unknown token", "guess", {}, status.UNAUTHENTICATED],
    ["another node's name", "secret-2", { NODE_NAME: "node1" }, status.PERMISSION_DENIED],
  ])("refuses %s", async (_what, token, metadata, code) => {
    await write("a.yaml", pod("web", "10.0.0.1"));
    const client = connect(await start(), token);
    client.send({ typeUrl: ADDRESS_TYPE_URL, node: { id: "ztunnel~1.1.1.1~a.b~b.svc.cluster.local", metadata } });
    await eventually("it is refused", () => client.error !== undefined);
    expect([client.error?.code, client.responses.length]).toEqual([code, 0]);
  });
});

describe("objects that are wrong", () => {
  it("are reported with file, line, field and reason while the rest is served", async () => {
    await write(
      "bad.yaml",
      "apiVersion: v1\nkind: Service\nmetadata: { name: s, namespace: shop }\nspec:\n  ports: [{ port: 0 }]\n",
    );
    await write("worse.yaml", "kind: [\n");
    await write("good.yaml", pod("web", "10.0.0.1"));
    const controlPlane = await start();
    const client = connect(controlPlane);
    client.subscribe();
    await eventually("the good one is there", () => client.held.has(WEB));
    expect((await adminJson(controlPlane, "/debug/status"))["problems"]).toEqual([
      {
        code: "KUBE_OBJECT_INVALID",
        file: "bad.yaml",
        line: 5,
        field: "spec.ports[0].port",
        reason: "expected a whole number from 1 to 65535, got 0",
      },
      {
        code: "KUBE_YAML_MALFORMED",
        file: "worse.yaml",
        line: expect.any(Number),
        field: "",
        reason: expect.any(String),
      },
    ]);
    expect(await adminText(controlPlane, "/metrics")).toMatch(/ambit_input_problems 2/);
  });

  it("case 43: a DENY that needs HTTP says so on itself, and closes what it is about meanwhile", async () => {
    await write(
      "a.yaml",
      pod("web", "10.0.0.1") +
        policy("p", `${SELECT_WEB}, action: DENY, rules: [{ to: [{ operation: { methods: [POST] } }] }]`),
    );
    const client = connect(await start());
    client.subscribe();
    await eventually("the policy is there", () => client.held.has("shop/p"));
    expect(client.held.get("shop/p")).toMatchObject({ action: "Deny", rules: [[]] });
    const file = join(dir, "objects", ".patches", "AuthorizationPolicy", "shop", "p", "control-plane.json");
    const written = await eventually("the status is written", async () => JSON.parse(await readFile(file, "utf8")));
    expect(written).toMatchObject({
      status: {
        conditions: [
          { type: "Accepted", status: "False", reason: "UnsupportedValue", lastTransitionTime: expect.any(String) },
        ],
      },
    });
  });

  it("do not take a policy's earlier version away", async () => {
    await write("p.yaml", policy("p", "action: DENY, rules: [{}]"));
    const controlPlane = await start();
    const client = connect(controlPlane);
    client.subscribe();
    await eventually("the policy is there", () => client.held.has("shop/p"));
    await write("p.yaml", policy("p", "action: DENY, rules: [{ form: [] }]"));
    await eventually(
      "the problem is known",
      async () => ((await adminJson(controlPlane, "/debug/status"))["problems"] as unknown[]).length === 1,
    );
    expect(client.held.get("shop/p")).toMatchObject({ rules: [[]] });
  });

  it("do not empty the mesh when the folder as a whole vanishes", async () => {
    await write("a.yaml", pod("web", "10.0.0.1"));
    const controlPlane = await start();
    const client = connect(controlPlane);
    client.subscribe();
    await eventually("the pod is there", () => client.held.has(WEB));
    await rename(join(dir, "objects"), join(dir, "gone"));
    await eventually("it is reported", async () =>
      JSON.stringify(await adminJson(controlPlane, "/debug/status")).includes("KUBE_SOURCE_UNREADABLE"),
    );
    expect(client.held.has(WEB)).toBe(true);
    await rename(join(dir, "gone"), join(dir, "objects"));
  });
});

describe("status on objects", () => {
  it("are not written any more by a control plane that has stopped", async () => {
    const services = Array.from(
      { length: 200 },
      (_, at) =>
        `apiVersion: v1\nkind: Service\nmetadata: { name: s${at}, namespace: shop, labels: { istio.io/use-waypoint: wp } }\nspec: { ports: [{ port: 80 }] }\n---\n`,
    );
    await write("a.yaml", services.join(""));
    const controlPlane = await start();
    const listing = () => readdir(join(dir, "objects"), { recursive: true });
    await eventually("it has begun to write", async () => (await listing()).length > 10);
    await controlPlane.stop();
    const written = await listing();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await listing()).toEqual(written);
  });

  it("says which generation of the object it speaks of", async () => {
    const service = (generation: number, port: number): string =>
      `apiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: shop, generation: ${generation}, labels: { istio.io/use-waypoint: wp } }\nspec: { ports: [{ port: ${port} }] }\n`;
    await write("a.yaml", service(1, 80));
    await start();
    const file = join(dir, "objects", ".patches", "Service", "shop", "web", "control-plane.json");
    const observed = async () => JSON.parse(await readFile(file, "utf8")).status.conditions[0].observedGeneration;
    await eventually("the first is observed", async () => (await observed()) === 1);
    await write("a.yaml", service(2, 81));
    await eventually("the second is observed", async () => (await observed()) === 2);
  });

  it("is written anew for an object that was deleted and made again", async () => {
    const service = (uid: string): string =>
      `apiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: shop, uid: ${uid}, labels: { istio.io/use-waypoint: wp } }\nspec: { ports: [{ port: 80 }] }\n`;
    await write("a.yaml", service("first"));
    await start();
    const file = join(dir, "objects", ".patches", "Service", "shop", "web", "control-plane.json");
    const madeFor = async () => JSON.parse(await readFile(file, "utf8")).metadata.uid;
    await eventually("the first has a status", async () => (await madeFor()) === "first");
    await write("a.yaml", service("second"));
    await eventually("the second has one too", async () => (await madeFor()) === "second");
  });

  it("keeps its time over a restart and vanishes with its reason", async () => {
    const service = (labels: string): string =>
      `apiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: shop, labels: { ${labels} } }\nspec: { ports: [{ port: 80 }] }\n`;
    await write("a.yaml", service("istio.io/use-waypoint: wp"));
    const file = join(dir, "objects", ".patches", "Service", "shop", "web", "control-plane.json");
    const first = await start();
    const written = await eventually("the status is written", () => readFile(file, "utf8"));
    expect(JSON.parse(written)).toMatchObject({
      status: { conditions: [{ type: "istio.io/WaypointBound", status: "False", reason: "WaypointMissing" }] },
    });
    await first.stop();
    await start();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await readFile(file, "utf8")).toBe(written);
    await write("a.yaml", service(""));
    await eventually("the status is gone", () =>
      readFile(file, "utf8").then(
        () => false,
        () => true,
      ),
    );
  });
});

describe("the admin port", () => {
  it("tells readiness, metrics, clients and resources", async () => {
    await write("a.yaml", pod("web", "10.0.0.1"));
    const controlPlane = await start();
    const client = connect(controlPlane);
    client.subscribe();
    await eventually("the pod is there", () => client.held.has(WEB));
    expect(await adminText(controlPlane, "/readyz")).toBe("ready\n");
    expect(await adminJson(controlPlane, "/debug/status")).toMatchObject({
      ready: true,
      clients: [{ node: "node1" }],
      resources: { [ADDRESS_TYPE_URL]: 1, [AUTHORIZATION_TYPE_URL]: 0 },
    });
    const metrics = await adminText(controlPlane, "/metrics");
    for (const name of [
      "ambit_xds_pushes_total",
      "ambit_xds_clients 1",
      "ambit_objects 1",
      "ambit_compile_duration_seconds_count",
    ]) {
      expect(metrics).toContain(name);
    }
  });
});
