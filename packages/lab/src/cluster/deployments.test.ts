import type { KubeObject } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { deploymentOf, nameSuffix, stepDeployments, templateHash } from "./deployments.ts";
import { type Pod, parsePod } from "./pod.ts";

const deployment = (replicas: number, image = "one"): KubeObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace: "shop" },
  spec: {
    replicas,
    selector: { matchLabels: { app: "web" } },
    template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image }] } },
  },
});

let suffix = 0;
const next = (): string => String(++suffix).padStart(5, "0");

/** The pods after a step was carried out: created ones are not ready yet, removed ones are terminating. */
function carryOut(pods: readonly Pod[], step: ReturnType<typeof stepDeployments>): Pod[] {
  const kept = pods.map((pod) => (step.remove.includes(pod) ? { ...pod, terminating: true } : pod));
  return [
    ...kept,
    ...step.create.map((object) => parsePod({ ...object, metadata: { ...object.metadata, uid: next() } })),
  ];
}

const ready = (pod: Pod): Pod => ({ ...pod, status: { phase: "Running", ips: [], ready: true } });
const gone = (pods: readonly Pod[]): Pod[] => pods.filter((pod) => !pod.terminating);

/** Lets pods become ready and terminate until nothing changes any more. */
function settle(object: KubeObject, pods: readonly Pod[]): Pod[] {
  let state = [...pods];
  for (let round = 0; round < 50; round++) {
    const step = stepDeployments([object], state, next);
    if (step.create.length === 0 && step.remove.length === 0) return state;
    state = gone(carryOut(state, step)).map(ready);
  }
  throw new Error("did not settle");
}

describe("stepDeployments", () => {
  it("creates the missing pods, named and owned as a ReplicaSet would", () => {
    const { create } = stepDeployments([deployment(2)], [], next);
    const hash = templateHash(deployment(2));
    expect(create).toHaveLength(2);
    expect(create[0]?.metadata).toMatchObject({
      namespace: "shop",
      labels: { app: "web", "pod-template-hash": hash },
      ownerReferences: [{ kind: "ReplicaSet", name: `web-${hash}`, controller: true }],
    });
    expect(create[0]?.metadata.name).toMatch(new RegExp(`^web-${hash}-.{5}$`));
    expect(deploymentOf(parsePod(create[0] as KubeObject))).toBe("shop/web");
  });

  it("removes surplus pods, first those that are not ready", () => {
    const pods = settle(deployment(3), []);
    const [first, ...rest] = pods as [Pod, ...Pod[]];
    const unready = { ...first, status: { ...first.status, ready: false } };
    expect(stepDeployments([deployment(2)], [unready, ...rest], next).remove).toEqual([unready]);
  });

  it("removes the pods of a deployment that is gone", () => {
    const pods = settle(deployment(2), []);
    expect(stepDeployments([], pods, next).remove).toHaveLength(2);
  });

  it("replaces a pod that ended for good", () => {
    const [pod] = settle(deployment(1), []) as [Pod];
    const over: Pod = { ...pod, status: { phase: "Failed", ips: [], ready: false } };
    const step = stepDeployments([deployment(1)], [over], next);
    expect(step.remove).toEqual([over]);
    expect(step.create).toHaveLength(1);
  });

  it("leaves pods alone that no deployment made", () => {
    const bare = parsePod({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web-x-y", namespace: "shop", uid: "u" },
    });
    expect(stepDeployments([], [bare], next)).toEqual({ create: [], remove: [] });
  });

  it("rolls to a new template without ever having fewer ready pods than wanted", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), (replicas) => {
        let pods = settle(deployment(replicas), []);
        const wanted = deployment(replicas, "two");
        for (let round = 0; round < 60; round++) {
          const step = stepDeployments([wanted], pods, next);
          if (step.create.length === 0 && step.remove.length === 0) break;
          const after = carryOut(pods, step);
          expect(gone(after).filter((pod) => pod.status.ready).length).toBeGreaterThanOrEqual(replicas);
          expect(gone(after).length).toBeLessThanOrEqual(replicas + 1);
          pods = gone(after).map(ready);
        }
        expect(pods.map((pod) => pod.labels["pod-template-hash"])).toEqual(Array(replicas).fill(templateHash(wanted)));
      }),
    );
  });

  it("gives the same template the same hash whatever the order of its fields", () => {
    const one = { ...deployment(1), spec: { template: { a: 1, b: { c: [2], d: 3 } } } };
    const other = { ...deployment(1), spec: { template: { b: { d: 3, c: [2] }, a: 1 } } };
    expect(templateHash(one)).toBe(templateHash(other));
  });
});

describe("nameSuffix", () => {
  it("has five characters that a name may end with", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (random) => {
        expect(nameSuffix(() => random)).toMatch(/^[a-z0-9]{5}$/);
      }),
    );
  });
});
