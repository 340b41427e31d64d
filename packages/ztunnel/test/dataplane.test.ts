/** Where connections go, and what is said about them. */

import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, describe, expect, it } from "@jest/globals";
import { onlyRecord, Shop } from "./fixtures/shop.ts";
import { dialFrom, readAll, readExactly } from "./fixtures/socks-client.ts";
import { buildWorkload, freeAddress, identityUri, testConfig, testService } from "./fixtures/test-mesh.ts";

let shop: Shop;
afterEach(() => shop.close());

const ask = async (from: Parameters<typeof dialFrom>[0], to: string, port: number): Promise<string> => {
  const { socket, code } = await dialFrom(from, to, port);
  if (code !== 0) return `refused ${code}`;
  socket.end("hello");
  return (await readAll(socket)).toString();
};

describe("a connection between two meshed pods", () => {
  it("is tunnelled, with source address kept and both identities in both records", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    expect(await ask(shop.web, shop.cart, app.port)).toBe("hello");
    expect(app.sources).toEqual([shop.web]);
    const [out, incoming] = [await onlyRecord(shop.node1), await onlyRecord(shop.node2)];
    const hboneAddress = `${shop.cart}:${app.port}`;
    const common = { phase: "closed", mutualTls: true, bytesSent: 5, bytesReceived: 5, flag: "-", hboneAddress };
    expect(out).toMatchObject({
      ...common,
      direction: "outbound",
      via: "socks5",
      destinationAddress: `${shop.cart}:15008`,
    });
    expect(incoming).toMatchObject({ ...common, direction: "inbound", via: "hbone" });
    for (const record of [out, incoming]) {
      expect(record.source.identity).toBe(identityUri("web"));
      expect(record.destination.identity).toBe(identityUri("cart"));
    }
    expect(out.id).toBe(incoming.id);
  });

  it("reaches a service by its VIP and its name, on the endpoint's target port", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const vip = freeAddress();
    const ports = [{ servicePort: 80, targetPort: app.port }];
    const services = { "shop/cart.shop.svc.cluster.local": ports };
    shop.mesh.push({
      workloads: [buildWorkload("cart", shop.cart, { services })],
      services: [testService("cart", vip, ports)],
    });
    expect(await ask(shop.web, vip, 80)).toBe("hello");
    expect(await ask(shop.web, "cart", 80)).toBe("hello");
    expect(await ask(shop.web, "cart.shop.svc.cluster.local", 80)).toBe("hello");
    await eventually("records", () => shop.node2.finished().length === 3);
    for (const record of [...shop.node1.finished(), ...shop.node2.finished()]) {
      expect(record.destinationService).toEqual({
        hostname: "cart.shop.svc.cluster.local",
        namespace: "shop",
        name: "cart",
      });
    }
  });

  it("shares one session among the connections of a pod to a destination", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const open = await Promise.all(Array.from({ length: 20 }, () => dialFrom(shop.web, shop.cart, app.port)));
    expect(open.map(({ code }) => code)).toEqual(Array(20).fill(0));
    expect(shop.node1.report().poolSessions).toBe(1);
    expect(shop.node1.report().pods["uid-web"]?.outbound).toHaveLength(20);
    expect(shop.node2.report().pods["uid-cart"]?.inbound[0]).toMatchObject({ protocol: "HBONE" });
    for (const { socket } of open) socket.destroy();
    await eventually("all closed", () => shop.node2.report().socketsOpen.destination === 0);
  });

  it("case 15: never shares a session between pods, whatever their identity", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const twin = freeAddress();
    const account = { serviceAccount: "web" };
    shop.mesh.push({ workloads: [buildWorkload("twin", twin, account)] });
    shop.node1.attach("twin", twin, account);
    expect(await ask(shop.web, shop.cart, app.port)).toBe("hello");
    expect(await ask(twin, shop.cart, app.port)).toBe("hello");
    expect(shop.node1.report().poolSessions).toBe(2);
    expect(app.sources).toEqual([shop.web, twin]);
  });

  it("opens another session when the first is full, and uses the first again once it has room", async () => {
    shop = await Shop.open({ config: { pool: { maxStreamsPerSession: 2, idleReleaseMs: 300_000 } } });
    const app = await shop.serve();
    const open = await Promise.all(Array.from({ length: 6 }, () => dialFrom(shop.web, shop.cart, app.port)));
    expect(shop.node1.report().poolSessions).toBe(3);
    for (const { socket } of open) socket.end();
    await Promise.all(open.map(({ socket }) => readAll(socket)));
    await eventually("streams over", () => shop.node1.report().socketsOpen.source === 0);
    await Promise.all(Array.from({ length: 6 }, () => dialFrom(shop.web, shop.cart, app.port)));
    expect(shop.node1.report().poolSessions).toBe(3);
  });
});

describe("a session without connections", () => {
  const impatient = { timeouts: { ...testConfig.timeouts, sessionIdleMs: 4 } };

  it("is closed by the side that serves it", async () => {
    shop = await Shop.open({ config: impatient });
    const app = await shop.serve();
    expect(await ask(shop.web, shop.cart, app.port)).toBe("hello");
    await eventually("no session is left", () => shop.node1.report().poolSessions === 0);
  });

  it("loses no connection to its end, whenever one comes", async () => {
    shop = await Shop.open({ config: impatient });
    const app = await shop.serve();
    let sessions = 0;
    for (let at = 0; at < 200; at++) {
      if (shop.node1.report().poolSessions === 0) sessions++;
      expect(await ask(shop.web, shop.cart, app.port)).toBe("hello");
      // Around the time of the goodbye: some come before it, some while it is on its way, some after it.
      await delay(at % 10);
    }
    expect(sessions).toBeGreaterThan(1);
  });
});

describe("a connection that leaves the mesh", () => {
  it("to a workload without HBONE is plain TCP, and known by name", async () => {
    shop = await Shop.open({ cart: { protocol: "TCP" } });
    const app = await shop.serve();
    expect(await ask(shop.web, shop.cart, app.port)).toBe("hello");
    expect(await onlyRecord(shop.node1)).toMatchObject({ mutualTls: false, destination: { workload: "cart" } });
  });

  it("to an unknown address passes through as dialled", async () => {
    shop = await Shop.open();
    const outside = freeAddress();
    const app = await shop.serve(outside);
    expect(await ask(shop.web, outside, app.port)).toBe("hello");
    expect(await onlyRecord(shop.node1)).toMatchObject({
      destinationAddress: `${outside}:${app.port}`,
      destination: { workload: "" },
    });
  });
});

describe("a connection that fails", () => {
  it("to a closed port tells the application, and both proxies say why", async () => {
    shop = await Shop.open();
    expect(await ask(shop.web, shop.cart, 9)).toBe("refused 1");
    expect(await onlyRecord(shop.node1)).toMatchObject({ code: "HBONE_CONNECT_REFUSED", flag: "CONNECT" });
    expect(await onlyRecord(shop.node2)).toMatchObject({ code: "UPSTREAM_CONNECT_FAILED", flag: "CONNECT" });
  });

  it("to one endpoint is tried on another", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const [vip, dead] = [freeAddress(), freeAddress()];
    const ports = [{ servicePort: 80, targetPort: app.port }];
    const services = { "shop/cart.shop.svc.cluster.local": ports };
    shop.mesh.push({
      workloads: [buildWorkload("cart", shop.cart, { services }), buildWorkload("dead", dead, { services })],
      services: [testService("cart", vip, ports)],
    });
    const answers = [];
    for (let i = 0; i < 12; i++) answers.push(await ask(shop.web, vip, 80));
    expect(answers).toEqual(Array(12).fill("hello"));
  });

  it("to a service whose waypoint is gone is refused, with the waypoint's name, and not sent directly", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const vip = freeAddress();
    const ports = [{ servicePort: 80, targetPort: app.port }];
    const destination = { kind: "hostname" as const, namespace: "shop", hostname: "waypoint.shop.svc.cluster.local" };
    shop.mesh.push({
      workloads: [buildWorkload("cart", shop.cart, { services: { "shop/cart.shop.svc.cluster.local": ports } })],
      services: [testService("cart", vip, ports, { waypoint: { destination, hboneMtlsPort: 15008 } })],
    });
    expect(await ask(shop.web, vip, 80)).toBe("refused 1");
    const record = await onlyRecord(shop.node1);
    expect(record).toMatchObject({ phase: "refused", code: "WAYPOINT_UNAVAILABLE" });
    expect(record.message).toContain("shop/waypoint.shop.svc.cluster.local:15008");
    expect(app.sources).toEqual([]);
  });

  it("case 45: is refused before the first policy snapshot, and served after it", async () => {
    shop = await Shop.open({ synced: false });
    const app = await shop.serve();
    expect(await ask(shop.web, shop.cart, app.port)).toMatch("refused 2");
    expect(await onlyRecord(shop.node1)).toMatchObject({ code: "POLICY_SNAPSHOT_MISSING", flag: "DENY" });
    shop.mesh.synced();
    expect(await ask(shop.web, shop.cart, app.port)).toBe("hello");
  });

  it("of a pod the control plane does not know ends after the wait", async () => {
    shop = await Shop.open({ config: { timeouts: { ...testConfig.timeouts, ownWorkloadMs: 100 } } });
    const stranger = freeAddress();
    shop.node1.attach("stranger", stranger);
    expect(await ask(stranger, shop.cart, 80)).toBe("refused 1");
    expect(await onlyRecord(shop.node1)).toMatchObject({ phase: "refused", code: "WORKLOAD_UNKNOWN" });
  });

  it("whose certificate cannot be had says so", async () => {
    shop = await Shop.open({ noCertificates: true });
    let answer = "";
    void ask(shop.web, shop.cart, 80).then((text) => {
      answer = text;
    });
    await eventually("an answer", () => {
      shop.node1.send({ kind: "certificate-unavailable", identity: identityUri("web"), message: "CA said no" });
      return answer !== "";
    });
    expect(answer).toBe("refused 1");
    const record = await onlyRecord(shop.node1);
    expect(record).toMatchObject({ code: "IDENTITY_UNAVAILABLE", flag: "IDENTITY_ERROR" });
    expect(record.message).toContain("CA said no");
  });
});

describe("a proxy that goes", () => {
  it("lets running connections end, refuses new ones, then says that it is drained", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const { socket } = await dialFrom(shop.web, shop.cart, app.port);
    shop.node2.send({ kind: "drain", deadlineMs: 5_000 });
    socket.write("still");
    expect((await readExactly(socket, 5)).toString()).toBe("still");
    const late = await dialFrom(shop.web, shop.cart, app.port);
    expect(late.code).not.toBe(0);
    socket.end();
    await readAll(socket);
    await eventually("drained", () => shop.node2.messages.some(({ kind }) => kind === "drained"));
  });

  it("cuts what outlives the grace period", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const { socket } = await dialFrom(shop.web, shop.cart, app.port);
    shop.node2.send({ kind: "detach-pod", uid: "uid-cart", graceMs: 100 });
    await expect(readAll(socket)).rejects.toThrow();
    expect(await onlyRecord(shop.node2)).toMatchObject({ code: "CONNECTION_DRAINED" });
    const detached = { kind: "pod-detached", uid: "uid-cart" };
    await eventually("it is told", () => isDeepStrictEqual(shop.node2.messages.at(-1), detached));
  });

  it("cuts an outbound connection when its own pod is gone", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const { socket } = await dialFrom(shop.web, shop.cart, app.port);
    shop.node1.send({ kind: "detach-pod", uid: "uid-web", graceMs: 0 });
    await expect(readAll(socket)).rejects.toThrow();
    expect(await onlyRecord(shop.node1)).toMatchObject({ code: "CONNECTION_DRAINED" });
  });
});
