import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ControlPlaneAccess } from "@ambit/shared/ca";
import { ipOf } from "@ambit/shared/net";
import { type PolicyConnection, type PolicyDelta, PolicyStore, policyKey } from "@ambit/shared/policy";
import { type Clock, systemClock } from "@ambit/shared/time";
import type { IdentityMaterial } from "@ambit/shared/tls";
import { type AddressDelta, MeshStore } from "@ambit/shared/workload";
import {
  ADDRESS_TYPE_URL,
  AUTHORIZATION_TYPE_URL,
  createXdsClient,
  type XdsClient,
  type XdsHandlers,
  type XdsState,
} from "@ambit/shared/xds";
import { status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { ManualClock } from "./manual-clock.ts";
import { aPolicy, aService, aWorkload } from "./mesh-builders.ts";
import {
  brokenResource,
  policyResource,
  serverIdentity,
  serviceResource,
  TestXdsServer,
  workloadResource,
} from "./xds-server.ts";

const web = aWorkload({ uid: "Kubernetes//Pod/shop/web", addresses: [ipOf("10.1.0.1")] });
const cart = aWorkload({ uid: "Kubernetes//Pod/shop/cart", addresses: [ipOf("10.1.0.2")] });
const shopService = aService({ hostname: "web.shop.svc.cluster.local" });
const denyAll = aPolicy({ name: "deny-all", action: "Deny", rules: [[]] });
const toWeb: PolicyConnection = {
  sourceIp: ipOf("10.1.0.2"),
  sourcePort: 40_000,
  destinationIp: ipOf("10.1.0.1"),
  destinationPort: 80,
};

let identity: IdentityMaterial;
let directory: string;
let tokenFile: string;
let rootFile: string;

beforeAll(async () => {
  identity = await serverIdentity("127.0.0.1");
  directory = await mkdtemp(join(tmpdir(), "ambit-xds-"));
  tokenFile = join(directory, "token");
  rootFile = join(directory, "root.pem");
});
afterAll(() => rm(directory, { recursive: true }));

/** A client together with stores fed by it, and everything it reported. */
class Follower {
  readonly mesh = new MeshStore();
  readonly policies = new PolicyStore();
  readonly states: XdsState[] = [];
  readonly rejections: string[] = [];
  readonly terminations: string[] = [];
  readonly bytes: [string, number][] = [];
  addressDeltas: AddressDelta[] = [];
  policyDeltas: PolicyDelta[] = [];
  readonly client: XdsClient;
  readonly #waiters = new Set<() => void>();

  constructor(
    port: number,
    given: { clock?: Clock; access?: Partial<ControlPlaneAccess>; handlers?: Partial<XdsHandlers> } = {},
  ) {
    const access: ControlPlaneAccess = {
      endpoint: { host: "127.0.0.1", port },
      rootCa: rootFile,
      authToken: tokenFile,
      clusterId: "Kubernetes",
      headers: { X_Tenant: "t1" },
      ...given.access,
    };
    const node = {
      instanceIp: "10.0.0.1",
      podName: "ztunnel-1",
      podNamespace: "istio-system",
      nodeName: "node1",
      meta: { CLUSTER_ID: "Kubernetes" },
      metaJson: { LABELS: { app: "ztunnel" } },
    };
    this.client = createXdsClient(
      { access, node, clock: given.clock ?? systemClock, random: () => 0.5 },
      { ...this.#handlers(), ...given.handlers },
    );
    this.client.start();
  }

  get state(): XdsState | undefined {
    return this.states.at(-1);
  }

  async until(what: (follower: this) => boolean): Promise<void> {
    while (!what(this)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiters.add(resolve);
      await promise;
      this.#waiters.delete(resolve);
    }
  }

  #handlers(): XdsHandlers {
    const note =
      <Args extends unknown[]>(take: (...args: Args) => void) =>
      (...args: Args): void => {
        take(...args);
        for (const waiter of [...this.#waiters]) waiter();
      };
    return {
      onAddresses: note((delta: AddressDelta) => {
        this.mesh.apply(delta);
        this.addressDeltas.push(delta);
      }),
      onPolicies: note((delta: PolicyDelta) => {
        this.policies.apply(delta);
        this.policyDeltas.push(delta);
      }),
      onState: note((state: XdsState) => this.states.push(state)),
      onReject: note((_type: string, name: string, reason: string) => this.rejections.push(`${name}: ${reason}`)),
      onResponse: note((type: string, bytes: number) => this.bytes.push([type, bytes])),
      onTermination: note((reason: string) => this.terminations.push(reason)),
    };
  }
}

let server: TestXdsServer;
let follower: Follower | undefined;

beforeEach(async () => {
  await writeFile(tokenFile, "token-1\n");
  await writeFile(rootFile, identity.rootsPem);
  server = await TestXdsServer.start(identity);
});
afterEach(() => {
  follower?.client.stop();
  follower = undefined;
  server.kill();
});

const restart = async (with_: IdentityMaterial = identity): Promise<void> => {
  const { port } = server;
  server.kill();
  server = await TestXdsServer.start(with_, port);
};

describe("the xDS client", () => {
  it("subscribes to both types on one stream, with node, token and headers", async () => {
    follower = new Follower(server.port);
    const stream = await server.stream(0);
    const [addresses, policies] = [await stream.request(0), await stream.request(1)];
    expect([addresses.typeUrl, policies.typeUrl]).toEqual([ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL]);
    expect(addresses).toMatchObject({ resourceNamesSubscribe: [], initialResourceVersions: {}, responseNonce: "" });
    expect(addresses.node).toMatchObject({
      id: "ztunnel~10.0.0.1~ztunnel-1.istio-system~istio-system.svc.cluster.local",
      metadata: { NAME: "ztunnel-1", NODE_NAME: "node1", CLUSTER_ID: "Kubernetes", LABELS: { app: "ztunnel" } },
    });
    expect(stream.headers).toMatchObject({ authorization: "Bearer token-1", clusterid: "Kubernetes", x_tenant: "t1" });
  });

  it("applies and acknowledges, and is complete once both types came", async () => {
    follower = new Follower(server.port);
    const stream = await server.stream(0);
    const nonce = stream.send(ADDRESS_TYPE_URL, [workloadResource(web, "v1"), serviceResource(shopService, "v1")]);
    expect(await stream.request(2)).toMatchObject({ typeUrl: ADDRESS_TYPE_URL, responseNonce: nonce });
    expect((await stream.request(2)).errorDetail).toBeUndefined();
    expect(follower.mesh.findWorkloadByUid(web.uid)).toEqual(web);
    expect(follower.state?.complete).toBe(false);
    stream.send(AUTHORIZATION_TYPE_URL, []);
    await follower.until(({ state }) => state?.complete === true);
    expect(follower.bytes[0]).toEqual([ADDRESS_TYPE_URL, expect.any(Number)]);
  });

  it("refuses a bad resource alone, by name and reason, keeps its last good version and takes the rest", async () => {
    follower = new Follower(server.port);
    const stream = await server.stream(0);
    stream.send(ADDRESS_TYPE_URL, [workloadResource(web, "v1")]);
    await stream.request(2);
    const nonce = stream.send(ADDRESS_TYPE_URL, [
      brokenResource(ADDRESS_TYPE_URL, web.uid),
      workloadResource(cart, "v1"),
    ]);
    const nack = await stream.request(3);
    expect(nack.responseNonce).toBe(nonce);
    expect(nack.errorDetail?.message).toContain(`${web.uid}: does not decode as istio.workload.Address`);
    expect(follower.rejections).toHaveLength(1);
    expect(follower.mesh.findWorkloadByUid(web.uid)).toEqual(web);
    expect(follower.mesh.findWorkloadByUid(cart.uid)).toEqual(cart);
  });

  it("becomes complete although the first response had to be refused", async () => {
    follower = new Follower(server.port);
    const stream = await server.stream(0);
    stream.send(ADDRESS_TYPE_URL, [brokenResource(ADDRESS_TYPE_URL, "x")]);
    stream.send(AUTHORIZATION_TYPE_URL, [brokenResource(AUTHORIZATION_TYPE_URL, "shop/x")]);
    await follower.until(({ state }) => state?.complete === true);
    expect(follower.rejections).toHaveLength(2);
  });

  it("acknowledges a type it never asked for", async () => {
    follower = new Follower(server.port);
    const stream = await server.stream(0);
    const nonce = stream.send("type.googleapis.com/example.Other", [brokenResource("x", "y")]);
    const ack = await stream.request(2);
    expect(ack).toMatchObject({ typeUrl: "type.googleapis.com/example.Other", responseNonce: nonce });
    expect(ack.errorDetail).toBeUndefined();
  });

  it("takes a response larger than gRPC's usual 4 MiB", async () => {
    follower = new Follower(server.port);
    const stream = await server.stream(0);
    const many = Array.from({ length: 6_000 }, (_, n) =>
      workloadResource(aWorkload({ uid: `Kubernetes//Pod/shop/w${n}`, canonicalName: "n".repeat(1000) }), "v1"),
    );
    stream.send(ADDRESS_TYPE_URL, many);
    await stream.request(2);
    expect([...follower.mesh.workloads()]).toHaveLength(6_000);
  });

  it("reads no further response while its handler is busy", async () => {
    const gate = Promise.withResolvers<void>();
    let entered = 0;
    const onAddresses = (): Promise<void> => {
      entered++;
      return gate.promise;
    };
    follower = new Follower(server.port, { handlers: { onAddresses } });
    const stream = await server.stream(0);
    stream.send(ADDRESS_TYPE_URL, [workloadResource(web, "v1")]);
    stream.send(ADDRESS_TYPE_URL, [workloadResource(cart, "v1")]);
    await follower.until(({ bytes }) => bytes.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([entered, stream.requests.length]).toEqual([1, 2]);
    gate.resolve();
    await stream.request(3);
    expect(entered).toBe(2);
  });
});

describe("after a lost stream, the xDS client", () => {
  it("claims what it holds with versions, and drops what is named as removed", async () => {
    follower = new Follower(server.port);
    const first = await server.stream(0);
    first.send(ADDRESS_TYPE_URL, [workloadResource(web, "v1"), workloadResource(cart, "v7")]);
    first.send(AUTHORIZATION_TYPE_URL, [policyResource(denyAll)]);
    first.send(ADDRESS_TYPE_URL, [brokenResource(ADDRESS_TYPE_URL, cart.uid)]);
    await first.request(4);
    await restart();
    const second = await server.stream(0);
    expect((await second.request(0)).initialResourceVersions).toEqual({ [web.uid]: "v1", [cart.uid]: "v7" });
    expect((await second.request(1)).initialResourceVersions).toEqual({ [policyKey(denyAll)]: "" });
    expect((await second.request(0)).node?.id).toContain("ztunnel-1");
    second.send(ADDRESS_TYPE_URL, [], [cart.uid]);
    await follower.until(({ mesh }) => mesh.findWorkloadByUid(cart.uid) === undefined);
    expect(follower.mesh.findWorkloadByUid(web.uid)).toEqual(web);
    expect(follower.terminations).toContain("Reconnect");
  });

  it("uses the token and the roots that are there now", async () => {
    follower = new Follower(server.port);
    await server.stream(0);
    const other = await serverIdentity("127.0.0.1");
    await writeFile(tokenFile, "token-2");
    await restart(other);
    await follower.until(({ terminations }) => terminations.includes("ConnectionError"));
    expect(server.streams).toBe(0);
    await writeFile(rootFile, other.rootsPem);
    expect((await server.stream(0)).headers).toMatchObject({ authorization: "Bearer token-2" });
  });

  it.each([
    ["ends it in good order", "Complete"],
    ["fails it with an error", "Error"],
  ])("waits before each new attempt when the control plane %s", async (how, reason) => {
    const clock = new ManualClock();
    follower = new Follower(server.port, { clock });
    for (let attempt = 0; attempt < 4; attempt++) {
      const stream = await server.stream(attempt);
      await stream.request(1);
      if (how.startsWith("ends")) stream.end();
      else stream.fail(status.PERMISSION_DENIED, "not you");
      await follower.until(({ states }) => states.filter((s) => s.connection === "waiting").length === attempt + 1);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(server.streams).toBe(attempt + 1);
      clock.advance(15_000);
    }
    const waits = follower.states.flatMap((state) => state.retryInMs ?? []);
    expect(waits).toEqual([50, 100, 200, 400]);
    expect(new Set(follower.terminations)).toEqual(new Set([reason]));
  });

  it("starts the back-off over once a stream delivered something", async () => {
    const clock = new ManualClock();
    follower = new Follower(server.port, { clock });
    for (const [attempt, delivers] of [false, false, true, false].entries()) {
      const stream = await server.stream(attempt);
      await stream.request(1);
      if (delivers) {
        stream.send(ADDRESS_TYPE_URL, []);
        await stream.request(2);
      }
      stream.end();
      await follower.until(({ states }) => states.filter((s) => s.connection === "waiting").length === attempt + 1);
      clock.advance(15_000);
    }
    expect(follower.states.flatMap((state) => state.retryInMs ?? [])).toEqual([50, 100, 50, 100]);
  });

  it("case 45: keeps the last good state and enforces it while the control plane is gone for an hour", async () => {
    const clock = new ManualClock();
    follower = new Follower(server.port, { clock });
    const first = await server.stream(0);
    first.send(ADDRESS_TYPE_URL, [workloadResource(web, "v1")]);
    first.send(AUTHORIZATION_TYPE_URL, [policyResource(denyAll)]);
    await follower.until(({ state }) => state?.complete === true);
    server.kill();
    const deltas = follower.addressDeltas.length + follower.policyDeltas.length;
    let waitedMs = 0;
    for (let seen = 0; waitedMs < 3_600_000; ) {
      const waits: number[] = [];
      await follower.until(({ states }) => {
        waits.splice(0, waits.length, ...states.flatMap((state) => state.retryInMs ?? []));
        return waits.length > seen;
      });
      // Every other attempt the clock leaps, or an hour would take 360 real attempts.
      const wait = Math.max(waits[seen] ?? 0, seen > 12 ? 600_000 : 0);
      seen = waits.length;
      waitedMs += wait;
      clock.advance(wait);
    }
    expect(follower.addressDeltas.length + follower.policyDeltas.length).toBe(deltas);
    expect(follower.state?.complete).toBe(true);
    expect(follower.mesh.findWorkload("", ipOf("10.1.0.1"))).toEqual(web);
    expect(follower.policies.evaluate(toWeb, web)).toMatchObject({ kind: "deny", code: "POLICY_DENIED" });
    expect(Math.max(...follower.states.map((state) => state.retryInMs ?? 0))).toBeLessThanOrEqual(15_000);

    server = await TestXdsServer.start(identity, server.port);
    const pump = setInterval(() => clock.advance(15_000), 20);
    const again = await server.stream(0);
    clearInterval(pump);
    expect((await again.request(1)).initialResourceVersions).toEqual({ [policyKey(denyAll)]: "" });
    again.send(AUTHORIZATION_TYPE_URL, [], [policyKey(denyAll)]);
    await follower.until(({ policies }) => policies.size === 0);
    expect(follower.policies.evaluate(toWeb, web)).toMatchObject({ kind: "allow" });
  });
});

describe("connecting, the xDS client", () => {
  it("gives up on a server that accepts and says nothing, and tries again", async () => {
    const clock = new ManualClock();
    const sockets = new Set<{ destroy(): void }>();
    const silent = createServer((socket) => sockets.add(socket.on("error", () => {})));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const address = silent.address();
    follower = new Follower(typeof address === "object" && address ? address.port : 0, { clock });
    const pump = setInterval(() => clock.advance(1_000), 20);
    await follower.until(({ terminations }) => terminations.length > 1);
    clearInterval(pump);
    expect(new Set(follower.terminations)).toEqual(new Set(["ConnectionError"]));
    expect(follower.states.find((state) => state.error)?.error?.message).toMatch(/no connection to the control plane/);
    follower.client.stop();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
  });

  it("accepts the alternative name of the server, and no other", async () => {
    server.kill();
    const named = await serverIdentity("istiod.example");
    await writeFile(rootFile, named.rootsPem);
    server = await TestXdsServer.start(named, server.port);
    follower = new Follower(server.port);
    await follower.until(({ terminations }) => terminations.length > 0);
    expect(server.streams).toBe(0);
    follower.client.stop();
    follower = new Follower(server.port, { access: { altHostname: "istiod.example" } });
    await server.stream(0);
  });

  it("waits and retries while the token file is empty", async () => {
    await writeFile(tokenFile, "");
    follower = new Follower(server.port);
    await follower.until(({ terminations }) => terminations.length > 0);
    expect(follower.states.find((state) => state.error)?.error?.message).toContain("token");
    await writeFile(tokenFile, "token-3");
    expect((await server.stream(0)).headers).toMatchObject({ authorization: "Bearer token-3" });
  });

  it("says nothing any more once stopped, and leaves no timer", async () => {
    const clock = new ManualClock();
    follower = new Follower(server.port, { clock });
    const stream = await server.stream(0);
    await stream.request(1);
    follower.client.stop();
    const reported = follower.states.length;
    stream.send(ADDRESS_TYPE_URL, [workloadResource(web, "v1")]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    clock.advance(60_000);
    expect(follower.addressDeltas).toEqual([]);
    expect(follower.states).toHaveLength(reported);
    expect(follower.state?.connection).toBe("stopped");
    expect([clock.timers, server.streams]).toEqual([0, 1]);
  });
});

describe("policy at start-up", () => {
  it("case 44: a workload whose policy has not come yet is not reachable, and is once it came", async () => {
    follower = new Follower(server.port);
    const stream = await server.stream(0);
    const guarded = { ...web, authorizationPolicies: ["shop/web-only"] };
    const allow = aPolicy({
      name: "web-only",
      scope: "WorkloadSelector",
      rules: [[[{ sourceIps: ["10.1.0.2/32"] }]]],
    });
    stream.send(ADDRESS_TYPE_URL, [workloadResource(guarded, "v1")]);
    await stream.request(2);
    expect(follower.state?.complete).toBe(false);
    expect(follower.policies.evaluate(toWeb, guarded)).toMatchObject({ kind: "deny", code: "POLICY_MISSING" });
    stream.send(AUTHORIZATION_TYPE_URL, [policyResource(allow)]);
    await follower.until(({ state }) => state?.complete === true);
    expect(follower.policies.evaluate(toWeb, guarded)).toMatchObject({ kind: "allow", policy: "shop/web-only" });
  });

  it("case 44: a policy that cannot be read is enforced by its strictest reading until it is mended", async () => {
    follower = new Follower(server.port);
    const stream = await server.stream(0);
    const deny = aPolicy({ name: "deny-office", action: "Deny", rules: [[[{ sourceIps: ["192.0.2.0/24"] }]]] });
    const bad = policyResource(deny);
    // The prefix length 24 becomes 99: field 2, varint.
    const value = Buffer.from(bad.resource?.value ?? []);
    value[value.lastIndexOf(24)] = 99;
    if (bad.resource) bad.resource.value = value;
    stream.send(AUTHORIZATION_TYPE_URL, [bad]);
    expect((await stream.request(2)).errorDetail?.message).toContain("rules[0].clauses[0].matches[0].source_ips[0]");
    expect(follower.policies.evaluate(toWeb, web)).toMatchObject({ kind: "deny", code: "POLICY_DENIED" });
    stream.send(AUTHORIZATION_TYPE_URL, [policyResource(deny)]);
    expect((await stream.request(3)).errorDetail).toBeUndefined();
    expect(follower.policies.evaluate(toWeb, web)).toMatchObject({ kind: "allow" });
    stream.send(AUTHORIZATION_TYPE_URL, [bad]);
    await stream.request(4);
    expect(follower.policies.evaluate(toWeb, web)).toMatchObject({ kind: "allow" });
  });
});
