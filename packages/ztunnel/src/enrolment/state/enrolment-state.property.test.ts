import { type KubeObject, objectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { AnnotationValue } from "./annotation-state.ts";
import { type EnrolmentAction, type EnrolmentEvent, initialState, type Standing, step } from "./enrolment-state.ts";
import { type WantedPod, wishOf } from "./pod-wish.ts";

const FACTS = {
  nodeName: "node1",
  dnsByDefault: true,
  excludedNamespaces: new Set(["ns2"]),
  systemNamespace: "istio-system",
};
type PodAction = Exclude<EnrolmentAction, { kind: "annotate" }>;

/** A world that carries out what the reducer asks for, in any order and with any failures. */
class World {
  readonly objects = new Map<string, KubeObject>();
  /** Rules are in; with the pod as it is served, or null when nobody serves it. */
  readonly captured = new Map<string, WantedPod | null>();
  readonly annotations = new Map<string, AnnotationValue>();
  readonly running: PodAction[] = [];
  state = initialState(FACTS);
  nowMs = 0;

  send(event: EnrolmentEvent): void {
    const { state, actions } = step(this.state, event, { nowMs: this.nowMs, retryDelayMs: (n) => 10 * (n + 1) });
    this.state = state;
    for (const action of actions) {
      if (action.kind !== "annotate") {
        const uid = uidOf(action);
        if (this.running.some((other) => uidOf(other) === uid)) throw new Error(`two actions at a time for ${uid}`);
        this.running.push(action);
      } else if (action.value === "drop") this.annotations.delete(action.key);
      else this.annotations.set(action.key, action.value);
    }
  }

  upsert(object: KubeObject): void {
    this.objects.set(objectKey(object), object);
    this.send({ kind: "objects", upserted: [this.#annotated(object)], removed: [] });
  }

  remove(key: string): void {
    if (this.objects.delete(key)) this.send({ kind: "objects", upserted: [], removed: [key as never] });
  }

  finish(index: number, succeeds: boolean): void {
    const [action] = this.running.splice(index % Math.max(1, this.running.length), 1);
    if (action === undefined) return;
    const uid = uidOf(action);
    if (succeeds) {
      if (action.kind === "enrol") this.captured.set(uid, action.pod);
      else this.captured.delete(uid);
      const applied = action.kind === "enrol" ? { applied: action.pod } : {};
      this.send({ kind: "finished", uid, standing: action.kind === "enrol" ? "enrolled" : "absent", ...applied });
      return;
    }
    if (action.kind === "enrol" && index % 2 === 0 && !this.captured.has(uid)) this.captured.set(uid, null);
    this.send({ kind: "finished", uid, standing: this.#standing(uid), failure: "failed" });
  }

  /** Everything succeeds from here on. */
  settle(): void {
    for (let turn = 0; turn < 50; turn++) {
      this.nowMs += 1_000;
      this.send({ kind: "tick" });
      while (this.running.length > 0) this.finish(0, true);
    }
  }

  #standing(uid: string): Standing {
    const served = this.captured.get(uid);
    if (served === undefined) return "absent";
    return served === null ? "redirected" : "enrolled";
  }

  #annotated(object: KubeObject): KubeObject {
    const value = this.annotations.get(objectKey(object));
    if (!value) return object;
    return { ...object, metadata: { ...object.metadata, annotations: { "ambient.istio.io/redirection": value } } };
  }
}
const uidOf = (action: PodAction): string => (action.kind === "enrol" ? action.pod.uid : action.uid);

const mode = fc.constantFrom(undefined, "ambient", "none", "other");
const labelled = (value: string | undefined) => (value === undefined ? {} : { "istio.io/dataplane-mode": value });
const pods = fc
  .record({
    name: fc.constantFrom("a", "b"),
    namespace: fc.constantFrom("ns1", "ns1", "ns1", "ns2"),
    generation: fc.constantFrom(0, 0, 1),
    mode: fc.constantFrom("ambient", "ambient", undefined, "none", "other"),
    node: fc.constantFrom("node1", "node1", "node1", "node1", "node2"),
    phase: fc.constantFrom("Running", "Running", "Running", "Pending", "Succeeded"),
    ip: fc.constantFrom("10.0.0.1", "10.0.0.2", "10.0.0.3", "", "nonsense"),
    hostNetwork: fc.constantFrom(false, false, false, false, true),
  })
  .map(({ name, namespace, generation, mode: asked, node, phase, ip, hostNetwork }): KubeObject => {
    const metadata = { name, namespace, uid: `${namespace}-${name}-${generation}`, labels: labelled(asked) };
    return {
      apiVersion: "v1",
      kind: "Pod",
      metadata,
      spec: { nodeName: node, hostNetwork },
      status: { phase, podIP: ip },
    };
  });
const namespaces = fc.record({ name: fc.constantFrom("ns1", "ns2"), mode }).map(({ name, mode: asked }): KubeObject => {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name, labels: labelled(asked) } };
});
const keys = fc.constantFrom("Pod/ns1/a", "Pod/ns1/b", "Pod/ns2/a", "Namespace//ns1");

type Move = (world: World) => void;
const moves: fc.Arbitrary<Move> = fc.oneof(
  pods.map(
    (object): Move =>
      (world) =>
        world.upsert(object),
  ),
  namespaces.map(
    (object): Move =>
      (world) =>
        world.upsert(object),
  ),
  keys.map(
    (key): Move =>
      (world) =>
        world.remove(key),
  ),
  fc.tuple(fc.nat(5), fc.boolean()).map(
    ([index, succeeds]): Move =>
      (world) =>
        world.finish(index, succeeds),
  ),
  fc.nat(40).map(
    (ms): Move =>
      (world) => {
        world.nowMs += ms;
        world.send({ kind: "tick" });
      },
  ),
  fc.constant<Move>((world) => world.send({ kind: "verify" })),
);

describe("the enrolment reducer", () => {
  it("ends where the last objects say, after any sequence of changes, failures and delays", () => {
    fc.assert(
      fc.property(fc.array(moves, { minLength: 10, maxLength: 60, size: "max" }), (sequence) => {
        const world = new World();
        for (const move of sequence) move(world);
        world.settle();
        expectFinal(world);
      }),
      { numRuns: 500 },
    );
  });
});

function expectFinal(world: World): void {
  const ours = [...world.objects.values()].filter(
    ({ kind, spec }) => kind === "Pod" && spec?.["nodeName"] === FACTS.nodeName,
  );
  for (const object of ours) {
    const uid = object.metadata.uid ?? "";
    const wish = wishOf(object, world.objects.get(`Namespace//${object.metadata.namespace}`), FACTS);
    const annotation = world.annotations.get(objectKey(object)) ?? null;
    if (wish.kind === "wanted") expect([world.captured.get(uid), annotation]).toEqual([wish.pod, "enabled"]);
    // Its address may be gone only for a moment: one that was served stays so.
    else if (wish.kind === "waiting") expect(annotation).toBe(world.captured.get(uid) ? "enabled" : annotation);
    else expect([world.captured.has(uid), annotation]).toEqual([false, null]);
  }
  const uids = new Set(ours.map(({ metadata }) => metadata.uid));
  expect([...world.captured.keys()].filter((uid) => !uids.has(uid))).toEqual([]);
  expect([...world.state.pods.keys()].filter((uid) => !uids.has(uid))).toEqual([]);
  const ourKeys = new Set(ours.map((object) => objectKey(object) as string));
  expect([...world.annotations.keys()].filter((key) => !ourKeys.has(key))).toEqual([]);
}
