import { type KubeObject, objectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import {
  type EnrolmentAction,
  type EnrolmentEvent,
  type EnrolmentState,
  initialState,
  nextRetryAtMs,
  step,
} from "./enrolment-state.ts";
import { type WantedPod, wishOf } from "./pod-wish.ts";

const FACTS = {
  nodeName: "node1",
  dnsByDefault: true,
  excludedNamespaces: new Set<string>(),
  systemNamespace: "istio-system",
};
const AMBIENT = { "istio.io/dataplane-mode": "ambient" };
const REDIRECTION = "ambient.istio.io/redirection";

const namespace = (labels: Record<string, string> = AMBIENT): KubeObject => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name: "shop", labels },
});

interface PodParts {
  readonly uid?: string;
  readonly ip?: string;
  readonly node?: string;
  readonly phase?: string;
  readonly annotations?: Record<string, string>;
}
const pod = ({ uid = "u1", ip = "10.0.0.1", node = "node1", phase = "Running", annotations = {} }: PodParts = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "shop", uid, annotations },
  spec: { nodeName: node },
  status: { phase, ...(ip === "" ? {} : { podIP: ip }) },
});
const KEY = objectKey(pod());

function wanted(parts: PodParts = {}): WantedPod {
  const wish = wishOf(pod(parts), namespace(), FACTS);
  if (wish.kind !== "wanted") throw new Error(wish.reason);
  return wish.pod;
}

/** A run of the reducer, with what it last asked for. */
class Run {
  state: EnrolmentState = initialState(FACTS);
  actions: readonly EnrolmentAction[] = [];
  nowMs = 0;

  send(event: EnrolmentEvent): this {
    const next = step(this.state, event, { nowMs: this.nowMs, retryDelayMs: (n) => 100 * 2 ** n });
    this.state = next.state;
    this.actions = next.actions;
    return this;
  }

  objects(...upserted: KubeObject[]): this {
    return this.send({ kind: "objects", upserted, removed: [] });
  }

  enrolled(parts: PodParts = {}): this {
    const applied = wanted(parts);
    return this.send({ kind: "finished", uid: applied.uid, standing: "enrolled", applied });
  }
}
const enrolledRun = (): Run => new Run().objects(namespace(), pod()).enrolled();

describe("the enrolment reducer", () => {
  it("enrols a labelled pod of this node, and says so only when it is served", () => {
    const run = new Run().objects(namespace(), pod());
    expect(run.actions).toEqual([{ kind: "enrol", pod: wanted() }]);
    run.enrolled();
    expect(run.actions).toEqual([{ kind: "annotate", key: KEY, value: "enabled" }]);
    expect(run.objects(pod({ annotations: { [REDIRECTION]: "enabled" } })).actions).toEqual([]);
  });

  it("does nothing for pods of other nodes", () => {
    expect(new Run().objects(namespace(), pod({ node: "node2" })).actions).toEqual([]);
  });

  it("takes one action at a time for a pod, and then what the objects say by then", () => {
    const run = new Run().objects(namespace(), pod());
    expect(run.objects(namespace({})).actions.filter(({ kind }) => kind !== "annotate")).toEqual([]);
    run.enrolled();
    expect(run.actions).toEqual([{ kind: "unenrol", uid: "u1", key: KEY, known: true }]);
  });

  it("takes the annotation away before it takes the rules away", () => {
    const run = enrolledRun().objects(namespace({}));
    expect(run.actions).toEqual([
      { kind: "unenrol", uid: "u1", key: KEY, known: true },
      { kind: "annotate", key: KEY, value: null },
    ]);
  });

  it("says pending for a pod that is captured and not served, and tries again after a growing delay", () => {
    const run = new Run().objects(namespace(), pod());
    const failed: EnrolmentEvent = { kind: "finished", uid: "u1", standing: "redirected", failure: "no worker" };
    expect(run.send(failed).actions).toEqual([{ kind: "annotate", key: KEY, value: "pending" }]);
    expect(nextRetryAtMs(run.state)).toBe(100);
    expect(run.send({ kind: "tick" }).actions).toEqual([]);
    run.nowMs = 100;
    expect(run.send({ kind: "tick" }).actions).toEqual([{ kind: "enrol", pod: wanted() }]);
    run.send(failed);
    expect(nextRetryAtMs(run.state)).toBe(300);
  });

  it("does not wait for a retry when the objects change", () => {
    const run = new Run().objects(namespace(), pod());
    run.send({ kind: "finished", uid: "u1", standing: "absent", failure: "no namespace" });
    expect(run.objects(pod({ ip: "10.0.0.9" })).actions).toEqual([{ kind: "enrol", pod: wanted({ ip: "10.0.0.9" }) }]);
  });

  it.each([
    ["dns-capture", { "ambient.istio.io/dns-capture": "false" }],
    ["bypass-inbound-capture", { "ambient.istio.io/bypass-inbound-capture": "true" }],
    ["reroute-virtual-interfaces", { "istio.io/reroute-virtual-interfaces": "vnet0" }],
  ])("applies a changed %s annotation to a running pod at once", (_, annotations) => {
    expect(enrolledRun().objects(pod({ annotations })).actions).toContainEqual({
      kind: "enrol",
      pod: wanted({ annotations }),
    });
  });

  it("serves a pod with new addresses anew, and leaves one alone whose addresses were blanked", () => {
    expect(enrolledRun().objects(pod({ ip: "10.0.0.2" })).actions).toEqual([
      { kind: "enrol", pod: wanted({ ip: "10.0.0.2" }) },
    ]);
    expect(enrolledRun().objects(pod({ ip: "" })).actions).toEqual([]);
  });

  it.each(["Succeeded", "Failed"])("drops a pod that is %s without touching its namespace", (phase) => {
    const run = enrolledRun().objects(pod({ phase, ip: "" }));
    expect(run.actions).toContainEqual({ kind: "forget", uid: "u1" });
    expect(run.actions).toContainEqual({ kind: "annotate", key: KEY, value: null });
  });

  it("drops a deleted pod and its annotation, and keeps nothing of it", () => {
    const run = enrolledRun().send({ kind: "objects", upserted: [], removed: [KEY] });
    expect(run.actions).toEqual([
      { kind: "forget", uid: "u1" },
      { kind: "annotate", key: KEY, value: "drop" },
    ]);
    run.send({ kind: "finished", uid: "u1", standing: "absent" });
    expect(run.state.pods.size).toBe(0);
    expect(run.state.annotated.size).toBe(0);
  });

  it("does not give a new pod the annotation of the old one of its name", () => {
    const run = enrolledRun().objects(pod({ uid: "u2", annotations: { [REDIRECTION]: "enabled" } }));
    expect(run.actions).toEqual([
      { kind: "enrol", pod: wanted({ uid: "u2" }) },
      { kind: "forget", uid: "u1" },
      { kind: "annotate", key: KEY, value: null },
    ]);
  });

  it("never trusts an annotation: after a restart it enrols what is annotated, and leaves the annotation meanwhile", () => {
    const run = new Run().objects(namespace(), pod({ annotations: { [REDIRECTION]: "enabled" } }));
    expect(run.actions).toEqual([{ kind: "enrol", pod: wanted() }]);
    expect(run.enrolled().actions).toEqual([]);
  });

  it("clears an annotation left from before when the pod cannot be enrolled", () => {
    const run = new Run().objects(namespace(), pod({ annotations: { [REDIRECTION]: "enabled" } }));
    run.send({ kind: "finished", uid: "u1", standing: "absent", failure: "no namespace" });
    expect(run.actions).toEqual([{ kind: "annotate", key: KEY, value: null }]);
  });

  it("looks once after a restart for rules left in a pod that is not in the mesh", () => {
    const run = new Run().objects(namespace({}), pod({ annotations: { [REDIRECTION]: "enabled" } }));
    expect(run.actions).toEqual([
      { kind: "unenrol", uid: "u1", key: KEY, known: false },
      { kind: "annotate", key: KEY, value: null },
    ]);
    run.send({ kind: "finished", uid: "u1", standing: "absent" });
    expect(run.send({ kind: "verify" }).actions).not.toContainEqual(expect.objectContaining({ kind: "unenrol" }));
  });

  it("does not look for leftovers in pods that appear later", () => {
    expect(new Run().objects(namespace({})).objects(pod()).actions).toEqual([]);
  });

  it("verifies every served pod, and writes an annotation again that somebody changed", () => {
    const run = enrolledRun().objects(pod({ annotations: { [REDIRECTION]: "disabled" } }));
    expect(run.actions).toEqual([]);
    expect(run.send({ kind: "verify" }).actions).toEqual([
      { kind: "enrol", pod: wanted() },
      { kind: "annotate", key: KEY, value: "enabled" },
    ]);
  });
});
