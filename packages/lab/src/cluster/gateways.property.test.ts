import { isMadeFor, type KubeObject, objectKey, type WaypointRuntime } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { stepGateways, waypointGateways } from "./gateways.ts";

const RUNTIME: WaypointRuntime = {
  image: "none",
  controlPlane: "https://172.18.0.1:15012",
  rootCertificate: "/root.pem",
  token: "/token",
  clusterDomain: "cluster.local",
  env: {},
};

interface Shape {
  readonly name: string;
  readonly namespace: string;
  readonly gatewayClassName: string;
  readonly override: string;
  readonly replicas: string;
}
const shape: fc.Arbitrary<Shape> = fc.record({
  name: fc.constantFrom("a", "b", "a.b"),
  namespace: fc.constantFrom("x", "y"),
  gatewayClassName: fc.constantFrom("ambit-waypoint", "istio-waypoint", "istio"),
  override: fc.constantFrom("", "a"),
  replicas: fc.constantFrom("", "3", "bad"),
});
let uids = 0;
const gatewayOf = ({ name, namespace, gatewayClassName, override, replicas }: Shape): KubeObject => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "Gateway",
  metadata: {
    name,
    namespace,
    uid: `g${++uids}`,
    annotations: { "gateway.istio.io/name-override": override, "ambit.io/replicas": replicas },
  },
  spec: { gatewayClassName },
});
const foreign: KubeObject = { apiVersion: "v1", kind: "Service", metadata: { name: "b", namespace: "x", uid: "user" } };

/** The objects once the controller has nothing to do any more; undefined when it never comes to an end. */
function settle(objects: readonly KubeObject[]): readonly KubeObject[] | undefined {
  let state = new Map(objects.map((object) => [objectKey(object), object]));
  for (let round = 0; round < 5; round++) {
    const before = JSON.stringify([...state].sort());
    const step = stepGateways([...state.values()], RUNTIME);
    state = new Map(state);
    for (const object of step.remove) state.delete(objectKey(object));
    for (const object of step.ensure) state.set(objectKey(object), object);
    if (JSON.stringify([...state].sort()) === before) return [...state.values()];
  }
  return undefined;
}

describe("stepGateways, carried out again and again", () => {
  it("comes to rest with exactly what the waypoints need, and leaves everybody else's objects as they were", () => {
    fc.assert(
      fc.property(fc.array(shape, { maxLength: 6 }), fc.array(shape, { maxLength: 6 }), (first, then) => {
        const gateways = (shapes: readonly Shape[]): KubeObject[] => [
          ...new Map(shapes.map(gatewayOf).map((one) => [objectKey(one), one])).values(),
        ];
        const before = settle([foreign, ...gateways(first)]) ?? [];
        const now = gateways(then);
        const after = settle([...now, ...before.filter(({ kind }) => kind !== "Gateway")]);
        expect(after).toBeDefined();
        const waypoints = waypointGateways(now);
        const made = (after ?? []).filter(({ kind, metadata }) => kind !== "Gateway" && metadata.uid !== "user");
        for (const object of made) expect(waypoints.filter((gateway) => isMadeFor(object, gateway))).toHaveLength(1);
        expect(after).toContainEqual(foreign);
        // Everyone has a Deployment of its own, unless an earlier one has the name.
        const names = new Set(made.filter(({ kind }) => kind === "Deployment").map((object) => objectKey(object)));
        for (const gateway of waypoints) {
          const wanted = stepGateways([gateway], RUNTIME).ensure.find(({ kind }) => kind === "Deployment");
          expect(names.has(objectKey(wanted as KubeObject))).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });
});
