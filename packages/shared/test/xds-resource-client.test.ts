/** The xDS client of raw resources, over real TLS. */

import { type Resource, ResourceSchema } from "@ambit/shared/proto";
import { systemClock } from "@ambit/shared/time";
import type { IdentityMaterial } from "@ambit/shared/tls";
import {
  createResourceClient,
  EnvoyTypeUrl,
  identityToProto,
  type ResourceClient,
  type ResourceUpdate,
} from "@ambit/shared/xds";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { serverIdentity, TestXdsServer } from "./xds-server.ts";

const { CLUSTER, ENDPOINT, LISTENER } = EnvoyTypeUrl;
let identity: IdentityMaterial;
let server: TestXdsServer;
let client: ResourceClient;
let updates: ResourceUpdate[];
let rejections: string[];
let refuse: readonly string[];
let onUpdate: (update: ResourceUpdate) => void | Promise<void>;

beforeAll(async () => {
  identity = await serverIdentity("127.0.0.1");
});
beforeEach(async () => {
  server = await TestXdsServer.start(identity);
  [updates, rejections, refuse, onUpdate] = [[], [], [], () => {}];
  client = connectTo(server.port);
});
afterEach(() => {
  client.stop();
  server.kill();
});

function connectTo(port: number): ResourceClient {
  const made = createResourceClient(
    {
      access: {
        endpoint: { host: "127.0.0.1", port },
        rootCa: identity.rootsPem,
        headers: {},
        clusterId: "Kubernetes",
      },
      node: identityToProto({
        id: "waypoint~10.0.0.1~w.ns~ns.svc.cluster.local",
        cluster: "w.ns",
        metadata: { NAMESPACE: "ns" },
      }),
      clock: systemClock,
      random: () => 0.5,
      types: [
        { typeUrl: CLUSTER, style: "wildcard" },
        { typeUrl: ENDPOINT, style: "named" },
        { typeUrl: LISTENER, style: "wildcard" },
      ],
    },
    {
      async onResources(update) {
        updates.push(update);
        await onUpdate(update);
        return refuse.map((name) => ({ name, reason: "not so" }));
      },
      onReject: (_type, name, reason) => void rejections.push(`${name}: ${reason}`),
    },
  );
  made.start();
  return made;
}

const resource = (typeUrl: string, name: string, version = "1"): Resource =>
  create(ResourceSchema, { name, version, resource: create(AnySchema, { typeUrl, value: Buffer.from(name) }) });

describe("the resource client", () => {
  it("tells who it is, delivers raw resources and acknowledges them", async () => {
    const stream = await server.stream(0);
    const [clusters, listeners] = [await stream.request(0), await stream.request(1)];
    expect([clusters.typeUrl, listeners.typeUrl]).toEqual([CLUSTER, LISTENER]);
    expect(clusters.node).toMatchObject({
      id: "waypoint~10.0.0.1~w.ns~ns.svc.cluster.local",
      cluster: "w.ns",
      metadata: { NAMESPACE: "ns" },
    });
    const nonce = stream.send(CLUSTER, [resource(CLUSTER, "a")], ["b"]);
    expect(await stream.request(2)).toMatchObject({ typeUrl: CLUSTER, responseNonce: nonce });
    expect((await stream.request(2)).errorDetail).toBeUndefined();
    expect(updates).toMatchObject([{ typeUrl: CLUSTER, upserted: [{ name: "a", version: "1" }], removed: ["b"] }]);
    expect(Buffer.from(updates[0]?.upserted[0]?.bytes ?? []).toString()).toBe("a");
  });

  it("subscribes to names from within a handler, before its ACK and apart from it", async () => {
    onUpdate = ({ typeUrl }) => {
      if (typeUrl === CLUSTER) client.want(ENDPOINT, ["e1", "e2"]);
    };
    const stream = await server.stream(0);
    stream.send(CLUSTER, [resource(CLUSTER, "a")]);
    expect(await stream.request(2)).toMatchObject({
      typeUrl: ENDPOINT,
      resourceNamesSubscribe: ["e1", "e2"],
      responseNonce: "",
    });
    expect(await stream.request(3)).toMatchObject({ typeUrl: CLUSTER, resourceNamesSubscribe: [] });
    expect(client.missing(ENDPOINT)).toEqual(["e1", "e2"]);
    stream.send(ENDPOINT, [resource(ENDPOINT, "e1")]);
    await stream.request(4);
    expect(client.missing(ENDPOINT)).toEqual(["e2"]);
    expect(client.want(ENDPOINT, ["e2"])).toEqual(["e1"]);
    expect(await stream.request(5)).toMatchObject({ resourceNamesUnsubscribe: ["e1"], resourceNamesSubscribe: [] });
  });

  it("answers with a NACK that names what was refused", async () => {
    refuse = ["a"];
    const stream = await server.stream(0);
    const nonce = stream.send(CLUSTER, [resource(CLUSTER, "a"), resource(CLUSTER, "b")]);
    expect(await stream.request(2)).toMatchObject({ responseNonce: nonce, errorDetail: { message: "a: not so" } });
    expect(rejections).toEqual(["a: not so"]);
    expect(client.isReceived(CLUSTER)).toBe(true);
  });

  it("says on a new stream what it wants and holds by now", async () => {
    const stream = await server.stream(0);
    await stream.request(1);
    client.want(ENDPOINT, ["e1"]);
    stream.send(CLUSTER, [resource(CLUSTER, "a", "7")]);
    await stream.request(3);
    stream.end();
    const again = await server.stream(1);
    const [clusters, endpoints] = [await again.request(0), await again.request(1)];
    expect(clusters.initialResourceVersions).toEqual({ a: "7" });
    expect(endpoints).toMatchObject({ typeUrl: ENDPOINT, resourceNamesSubscribe: ["e1"] });
  });

  it("survives a handler that throws: the stream is made anew and nothing is claimed", async () => {
    onUpdate = () => {
      onUpdate = () => {};
      throw new Error("a bug");
    };
    (await server.stream(0)).send(CLUSTER, [resource(CLUSTER, "a")]);
    const again = await server.stream(1);
    expect((await again.request(0)).initialResourceVersions).toEqual({});
  });

  it("reads no further while a handler is at work", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    onUpdate = () => promise;
    const stream = await server.stream(0);
    stream.send(CLUSTER, [resource(CLUSTER, "a")]);
    stream.send(LISTENER, [resource(LISTENER, "l")]);
    await new Promise((done) => setTimeout(done, 100));
    expect(updates).toHaveLength(1);
    resolve();
    await stream.request(3);
    expect(updates).toHaveLength(2);
  });
});
