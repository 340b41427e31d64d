import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KubeObject, objectKey, type WaypointRuntime } from "@ambit/shared/kube";
import { systemClock } from "@ambit/shared/time";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { IndexPool } from "../cluster/addresses.ts";
import { ObjectActions } from "../store/object-actions.ts";
import { ObjectStore } from "../store/object-store.ts";
import { type ControllerInit, podsOf, reconcile } from "./reconcile.ts";

const RUNTIME: WaypointRuntime = {
  image: "none",
  command: ["sleep", "infinity"],
  controlPlane: "https://172.18.0.1:15012",
  rootCertificate: "/root.pem",
  token: "/token",
  clusterDomain: "cluster.local",
  env: {},
};
const GATEWAY = objectKey({ kind: "Gateway", metadata: { namespace: "shop", name: "waypoint" } });

let folder: string;
let init: ControllerInit;
const problems: string[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lab-reconcile-"));
  const store = new ObjectStore(folder);
  problems.length = 0;
  init = {
    store,
    actions: new ObjectActions(store, systemClock),
    random: Math.random,
    serviceIndexes: new IndexPool(256, 65_000),
    nodePorts: new IndexPool(30_000, 32_767),
    waypoints: RUNTIME,
    onProblem: (text) => problems.push(text),
  };
  apply({ apiVersion: "v1", kind: "Node", metadata: { name: "node1" } });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const apply = (...objects: readonly object[]): void => {
  init.actions.apply(objects.map((object, at) => ({ name: `f${at}.json`, text: JSON.stringify(object) })));
};
/** As many passes as it takes until nothing changes; fails when that is never. */
function settle(): void {
  let changes = 1;
  init.store.onChange(() => changes++);
  for (let round = 0; changes > 0; round++) {
    if (round > 10) throw new Error("the controllers do not come to rest");
    changes = 0;
    reconcile(init);
  }
}
const gateway = (replicas?: string): object => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "Gateway",
  metadata: {
    name: "waypoint",
    namespace: "shop",
    ...(replicas === undefined ? {} : { annotations: { "ambit.io/replicas": replicas } }),
  },
  spec: { gatewayClassName: "ambit-waypoint", listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }] },
});
const made = (kind: string): KubeObject | undefined =>
  init.store.get(objectKey({ kind, metadata: { namespace: "shop", name: "waypoint" } }));
const running = () => podsOf(init.store).filter((pod) => !pod.terminating);

function makeReady(): void {
  for (const pod of running()) {
    const status = { phase: "Running", podIPs: [{ ip: "10.1.0.2" }], conditions: [{ type: "Ready", status: "True" }] };
    init.store.report(objectKey(pod.object), { status });
  }
}

describe("a waypoint's Gateway in the lab", () => {
  it("brings up a scheduled pod, a service with an address, and the classes", () => {
    apply(gateway());
    settle();
    expect(running()).toMatchObject([
      { namespace: "shop", node: "node1", serviceAccount: "waypoint", projectsToken: true },
    ]);
    expect(made("Service")?.spec?.["clusterIP"]).toMatch(/^10\.96\./);
    expect(init.store.list("GatewayClass").map(({ metadata }) => metadata.name)).toEqual([
      "ambit-waypoint",
      "istio-waypoint",
    ]);
  });

  it("has addresses from the first ready pod on, also when the last one is gone", () => {
    apply(gateway());
    settle();
    expect(init.store.get(GATEWAY)?.status).toBeUndefined();
    makeReady();
    settle();
    const status = init.store.get(GATEWAY)?.status;
    expect(status).toEqual({
      addresses: [
        { type: "IPAddress", value: made("Service")?.spec?.["clusterIP"] },
        { type: "Hostname", value: "waypoint.shop.svc.cluster.local" },
      ],
    });
    apply(gateway("0"));
    settle();
    expect(running()).toEqual([]);
    expect(init.store.get(GATEWAY)?.status).toEqual(status);
  });

  it("follows its replicas, and keeps the pods that are there", () => {
    apply(gateway());
    settle();
    const [first] = running();
    apply(gateway("3"));
    settle();
    makeReady();
    expect(running()).toHaveLength(3);
    apply(gateway("1"));
    settle();
    expect(running().map(({ name }) => name)).toEqual([first?.name]);
  });

  it("takes everything along when it goes", () => {
    apply(gateway());
    settle();
    init.actions.deleteOne({ kind: "Gateway", namespace: "shop", name: "waypoint" });
    settle();
    expect(["ServiceAccount", "Service", "Deployment"].map(made)).toEqual([undefined, undefined, undefined]);
    expect(running()).toEqual([]);
  });

  it("comes back with a new identity when it is made again", () => {
    apply(gateway());
    settle();
    const before = made("Deployment")?.metadata;
    init.actions.deleteOne({ kind: "Gateway", namespace: "shop", name: "waypoint" });
    apply(gateway());
    settle();
    expect(made("Deployment")?.metadata.uid).not.toBe(before?.uid);
    expect(made("Deployment")?.metadata.ownerReferences?.[0]?.uid).toBe(init.store.get(GATEWAY)?.metadata.uid);
  });

  it("makes again what somebody deleted, and takes back what somebody changed", () => {
    apply(gateway());
    settle();
    init.actions.deleteOne({ kind: "Deployment", namespace: "shop", name: "waypoint" });
    const service = made("Service");
    apply({ ...service, metadata: { name: "waypoint", namespace: "shop" }, spec: { ports: [{ port: 1 }] } });
    settle();
    expect(made("Deployment")).toBeDefined();
    expect(made("Service")?.spec).toEqual(service?.spec);
  });

  it("leaves a service of the same name alone, and tells", () => {
    const own = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "waypoint", namespace: "shop" },
      spec: { ports: [{ port: 1 }] },
    };
    apply(own, gateway());
    settle();
    makeReady();
    settle();
    expect(made("Service")?.spec?.["ports"]).toEqual([{ port: 1 }]);
    expect(init.store.get(GATEWAY)?.status).toBeUndefined();
    expect(problems).toContain("Gateway shop/waypoint: Service shop/waypoint exists and is not its own");
  });

  it("is nothing in a lab without mesh", () => {
    init = { ...init, waypoints: undefined };
    apply(gateway());
    settle();
    expect(running()).toEqual([]);
    expect(init.store.list("GatewayClass")).toEqual([]);
  });
});
