/** A whole waypoint in this process, with a control plane and peers by hand. */
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { ipOf } from "@ambit/shared/net";
import type { IdentityMaterial } from "@ambit/shared/tls";
import { ADDRESS_TYPE_URL, EnvoyTypeUrl } from "@ambit/shared/xds";
import { eventually } from "@ambit/testing/eventually";
import { temporaryFolder } from "@ambit/testing/files";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import type { TrafficParts } from "../src/app.ts";
import { OWN_CALL } from "../src/forward/connect-originate.ts";
import { TunnelDuplex } from "../src/forward/tunnel-duplex.ts";
import type { RouteModel } from "../src/model/route-model.ts";
import type { TunnelContext, TunnelOffer } from "../src/terminate/index.ts";
import {
  brokenResource,
  clusterResource,
  endpointsResource,
  startTestWaypoint,
  TestControlPlane,
  type TestWaypoint,
} from "./process-fixtures.ts";
import {
  Cleanup,
  dialPeer,
  identityUri,
  readAll,
  revocationListOf,
  TestAuthority,
  tcpServer,
  WAYPOINT,
} from "./transport-fixtures.ts";

const { CLUSTER, ENDPOINT, LISTENER } = EnvoyTypeUrl;
const CART = "inbound-vip|80|http|cart.shop.svc.cluster.local";
const cleanup = new Cleanup();
let authority: TestAuthority;
let web: IdentityMaterial;
let controlPlane: TestControlPlane;

beforeAll(async () => {
  authority = await TestAuthority.create();
  web = await authority.issue(identityUri("web"));
});
beforeEach(async () => {
  controlPlane = await TestControlPlane.start(authority, WAYPOINT, cleanup);
});
afterEach(() => cleanup.run());

const start = (options: Parameters<typeof startTestWaypoint>[3] = {}): Promise<TestWaypoint> =>
  startTestWaypoint(controlPlane, authority.rootPem, cleanup, options);

const isReady = (waypoint: TestWaypoint) =>
  eventually("it is ready", async () => (await waypoint.readiness()) === "ready\n");

/** Traffic that carries each tunnel straight to where it points. */
const straight = (port: number) => (parts: TrafficParts) => ({
  onTunnel: (tunnel: TunnelContext, offer: TunnelOffer) => void forward(parts, port, tunnel, offer.accept()),
});

async function forward(
  { originator }: TrafficParts,
  port: number,
  { client }: TunnelContext,
  downstream: Duplex,
): Promise<void> {
  const address = { ip: ipOf("127.0.0.1"), port };
  const endpoint = { key: "e", address, weight: 1, health: "healthy", reach: { kind: "plain" }, workload: "" } as const;
  const cluster = { connectTimeoutMs: 15_000, transport: { kind: "raw" } } as const;
  const { transport } = await originator.open(OWN_CALL, { endpoint, cluster, client });
  cleanup.add(() => transport.destroy());
  downstream
    .on("error", () => {})
    .pipe(transport.on("error", () => {}))
    .pipe(downstream);
}

describe("a waypoint and its control plane", () => {
  it("tells who it is, with the token, and asks for its own certificate without naming anybody", async () => {
    await start();
    const first = await eventually("a request", () => controlPlane.requests[0]);
    expect(first.node).toMatchObject({
      id: "waypoint~127.0.0.3~waypoint-1.shop~shop.svc.cluster.local",
      cluster: "waypoint.shop",
      metadata: { NAMESPACE: "shop", SERVICE_ACCOUNT: "waypoint" },
    });
    const request = await eventually("a CSR", () => controlPlane.certificateRequests[0]);
    expect(request.metadata).toBeUndefined();
    expect(new Set(controlPlane.tokens)).toEqual(new Set(["Bearer token-of-the-pod"]));
  });

  it("asks for everything in order, and for endpoints only by the names of its clusters", async () => {
    await start();
    await eventually("the first requests", () => controlPlane.requests.length === 3);
    expect(controlPlane.requests.map(({ typeUrl }) => typeUrl)).toEqual([CLUSTER, LISTENER, ADDRESS_TYPE_URL]);
    controlPlane.send(CLUSTER, [clusterResource(CART)]);
    const named = await eventually("names", () => controlPlane.requests.find(({ typeUrl }) => typeUrl === ENDPOINT));
    expect(named).toMatchObject({ resourceNamesSubscribe: [CART], responseNonce: "" });
    controlPlane.send(CLUSTER, [], [CART]);
    await eventually("no names", () =>
      controlPlane.requests.find((request) => request.resourceNamesUnsubscribe[0] === CART),
    );
  });

  it("is ready when the certificate and all of the first configuration are there, endpoints last", async () => {
    controlPlane.issues = undefined;
    const waypoint = await start();
    expect(await waypoint.readiness()).toBe(
      "not ready, pending: addresses, certificate, clusters, endpoints, listeners\n",
    );
    await eventually("the first requests", () => controlPlane.requests.length >= 3);
    await controlPlane.answerTo(controlPlane.send(CLUSTER, [clusterResource(CART)]));
    controlPlane.send(LISTENER);
    await controlPlane.answerTo(controlPlane.send(ADDRESS_TYPE_URL));
    expect(await waypoint.readiness()).toBe("not ready, pending: certificate, endpoints\n");
    await controlPlane.answerTo(controlPlane.send(ENDPOINT, [endpointsResource(CART)]));
    expect(await waypoint.readiness()).toBe("not ready, pending: certificate\n");
    controlPlane.issues = WAYPOINT;
    await isReady(waypoint);
  });

  it("hands every new configuration to the traffic, and names what it refuses", async () => {
    const models: RouteModel[] = [];
    const rejected: [string, number][] = [];
    const waypoint = await start({
      traffic: () => ({
        modelChanged: (model) => void models.push(model),
        onRejectedResources: (typeUrl, count) => void rejected.push([typeUrl, count]),
      }),
    });
    expect(models).toHaveLength(1);
    await eventually("a stream", () => controlPlane.requests.length >= 3);
    const nonce = controlPlane.send(CLUSTER, [clusterResource(CART), brokenResource(CLUSTER, "bad")]);
    expect((await controlPlane.answerTo(nonce)).errorDetail?.message).toContain("bad: ");
    expect(models.at(-1)?.clusters.has(CART)).toBe(true);
    expect(waypoint.parts.model()).toBe(models.at(-1));
    expect(rejected).toEqual([[CLUSTER, 1]]);
    const dump = (await (await waypoint.get("admin", "/config_dump")).json()) as Record<string, never>;
    expect(dump["controlPlane"]).toMatchObject({ connection: "connected", rejected: { [CLUSTER]: ["bad"] } });
    expect(Object.keys(dump["clusters"] ?? {})).toContain(CART);
    controlPlane.send(CLUSTER, [], ["bad"]);
    await eventually("all is well again", () => rejected.at(-1)?.[1] === 0);
  });

  it("case 45: goes on without the control plane, stays ready, and claims what it holds when it is back", async () => {
    const { port } = await tcpServer((socket) => void socket.pipe(socket), cleanup);
    const waypoint = await start({ traffic: straight(port) });
    await controlPlane.configure();
    await controlPlane.answerTo(controlPlane.send(CLUSTER, [clusterResource(CART)]));
    await controlPlane.answerTo(controlPlane.send(ENDPOINT, [endpointsResource(CART)]));
    await isReady(waypoint);
    controlPlane.kill();
    await eventually("it noticed", () => waypoint.lines.some((line) => line.includes("not connected")));
    expect(await waypoint.readiness()).toBe("ready\n");
    const peer = await dialPeer(waypoint.waypoint.addresses.hbone, web, cleanup);
    const tunnel = peer.open("10.96.0.1:80");
    expect(await tunnel.answer).toBe(200);
    await controlPlane.listen();
    const again = await eventually(
      "the second stream",
      () => controlPlane.streams === 2 && controlPlane.requests.find(({ typeUrl }) => typeUrl === ENDPOINT),
    );
    expect(again.initialResourceVersions).toEqual({ [CART]: "1" });
  });
});

describe("a waypoint and its peers", () => {
  it("carries a tunnel to where the traffic parts send it", async () => {
    const { port } = await tcpServer((socket) => void socket.pipe(socket), cleanup);
    const waypoint = await start({ traffic: straight(port) });
    await controlPlane.configure();
    await isReady(waypoint);
    const tunnel = (await dialPeer(waypoint.waypoint.addresses.hbone, web, cleanup)).open("10.96.0.1:80");
    expect(await tunnel.answer).toBe(200);
    const client = new TunnelDuplex(tunnel.stream);
    client.end("hello");
    expect(await readAll(client)).toBe("hello");
  });

  it("listens on every address when it is not told where, and its admin port on loopback alone", async () => {
    const { waypoint } = await start({ env: { AMBIT_LISTEN_IP: "" } });
    await controlPlane.configure();
    const { hbone, admin } = waypoint.addresses;
    expect([["::", "0.0.0.0"].includes(hbone.ip), admin.ip]).toEqual([true, "127.0.0.1"]);
    const peer = await dialPeer({ ip: ipOf("127.0.0.1"), port: hbone.port }, web, cleanup);
    expect(await peer.open("10.96.0.1:80").answer).toBe(503);
  });

  it("answers 503 while nothing carries traffic", async () => {
    const waypoint = await start();
    await controlPlane.configure();
    await isReady(waypoint);
    const peer = await dialPeer(waypoint.waypoint.addresses.hbone, web, cleanup);
    expect(await peer.open("10.96.0.1:80").answer).toBe(503);
  });

  it("takes nobody without a certificate of its own, and everybody once there is one", async () => {
    controlPlane.issues = undefined;
    const refused: string[] = [];
    const waypoint = await start({
      traffic: () => ({ onTerminationRefused: ({ error }) => void refused.push(error.code) }),
    });
    const { hbone } = waypoint.waypoint.addresses;
    const raw = connect({ host: hbone.ip, port: hbone.port }).on("error", () => {});
    await once(raw, "close");
    expect(refused).toEqual(["IDENTITY_UNAVAILABLE"]);
    controlPlane.issues = WAYPOINT;
    await eventually("the certificate", () => waypoint.parts.localPrincipal() === WAYPOINT);
    await dialPeer(hbone, web, cleanup);
  });

  it("never shows a certificate of somebody else, whatever the CA gives it", async () => {
    controlPlane.issues = identityUri("admin");
    const waypoint = await start();
    await eventually("a refusal", () => waypoint.lines.some((line) => line.includes("CA_RESPONSE_INVALID")));
    expect(waypoint.parts.localPrincipal()).toBeUndefined();
  });
});

describe("the end of a waypoint", () => {
  async function running() {
    const { port } = await tcpServer((socket) => void socket.pipe(socket), cleanup);
    const drains: string[] = [];
    const waypoint = await start({
      traffic: (parts) => ({
        ...straight(port)(parts),
        drain: () => void drains.push("drain"),
        destroy: () => void drains.push("destroy"),
      }),
    });
    await controlPlane.configure();
    await isReady(waypoint);
    const peer = await dialPeer(waypoint.waypoint.addresses.hbone, web, cleanup);
    const tunnel = peer.open("10.96.0.1:80");
    expect(await tunnel.answer).toBe(200);
    return { waypoint, drains, peer, client: new TunnelDuplex(tunnel.stream) };
  }

  it("sends clients away, lets open tunnels end, and then closes everything", async () => {
    const { waypoint, drains, peer, client } = await running();
    const stopped = waypoint.waypoint.stop(40_000);
    await eventually("GOAWAY", () => !peer.session.acceptsStreams);
    expect(await waypoint.readiness()).toContain("draining");
    expect(drains).toEqual(["drain"]);
    client.end("last words");
    expect(await readAll(client)).toBe("last words");
    await stopped;
    expect(drains).toEqual(["drain", "destroy"]);
    await expect(waypoint.readiness()).rejects.toThrow();
  });

  it("cuts what is left at the deadline", async () => {
    const { waypoint, client } = await running();
    const cut = once(client, "error");
    await waypoint.waypoint.stop(100);
    expect((await cut)[0]).toMatchObject({ code: expect.stringMatching(/^H2_/) });
  });

  it("drains on request of the admin port, and asks to be stopped by quitquitquit", async () => {
    const { waypoint, drains } = await running();
    expect(await (await waypoint.get("admin", "/drain", { method: "POST" })).text()).toBe("draining\n");
    expect(drains).toEqual(["drain"]);
    await waypoint.get("admin", "/quitquitquit", { method: "POST" });
    await eventually("the request", () => waypoint.shutdowns.length === 1);
  });
});

describe("a waypoint with a list of revoked certificates", () => {
  const TASK = "certificate revocation list";

  it("case 11: is not ready before the list was read, and then cuts and refuses whom it names", async () => {
    const path = join(temporaryFolder("crl"), "crl.pem");
    await writeFile(path, "garbage");
    const waypoint = await start({ env: { CRL_PATH: path } });
    await controlPlane.configure();
    await eventually("all but the list", async () => (await waypoint.readiness()) === `not ready, pending: ${TASK}\n`);
    const peer = await dialPeer(waypoint.waypoint.addresses.hbone, web, cleanup);
    await writeFile(path, revocationListOf(web));
    await eventually("the live session is cut", () => !peer.session.acceptsStreams);
    await isReady(waypoint);
    const again = await dialPeer(waypoint.waypoint.addresses.hbone, web, cleanup).catch(() => undefined);
    await eventually("the new one too", () => again === undefined || !again.session.acceptsStreams);
  });
});

it("serves metrics of the process", async () => {
  expect(await (await (await start()).get("metrics", "/stats/prometheus")).text()).toContain("process_open_fds");
});
