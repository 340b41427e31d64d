import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KubeObject, objectKey } from "@ambit/shared/kube";
import { systemClock } from "@ambit/shared/time";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { applyOver, sameIntent } from "./apply-over.ts";
import { ObjectActions } from "./object-actions.ts";
import { ObjectStore } from "./object-store.ts";

let folder: string;
let store: ObjectStore;
let actions: ObjectActions;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lab-store-"));
  store = new ObjectStore(folder);
  actions = new ObjectActions(store, systemClock);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const apply = (...objects: readonly object[]) =>
  actions.apply(objects.map((object, at) => ({ name: `f${at}.json`, text: JSON.stringify(object) })));
const did = (answer: { readonly results: readonly { readonly action: string }[] }): string[] =>
  answer.results.map((one) => one.action);

const namespace = (name: string, labels: Record<string, string> = {}) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels },
});
const pod = (command: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "a" },
  spec: { containers: [{ name: "c", image: "none", command: [command] }] },
});
const POD_KEY = objectKey({ kind: "Pod", metadata: { namespace: "a", name: "p" } });

describe("apply", () => {
  it("creates, leaves alone, and changes", () => {
    expect(did(apply(namespace("a")))).toEqual(["created"]);
    expect(did(apply(namespace("a")))).toEqual(["unchanged"]);
    expect(did(apply(namespace("a", { x: "1" })))).toEqual(["configured"]);
  });

  it("gives every object an identity and writes it where other programs read it", () => {
    apply(namespace("a"));
    const written = JSON.parse(readFileSync(join(folder, "Namespace", "_", "a.json"), "utf8")) as KubeObject;
    expect(written.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect(written.metadata.creationTimestamp).toBeDefined();
    expect(readdirSync(join(folder, "Namespace", "_"))).toEqual(["a.json"]);
  });

  it("names what is wrong and applies the rest", () => {
    const answer = actions.apply([
      {
        name: "mixed.yaml",
        text: "apiVersion: v1\nkind: Namespace\nmetadata: {name: ok}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 99999}]}\n",
      },
    ]);
    expect(did(answer)).toEqual(["created"]);
    expect(answer.problems).toMatchObject([{ file: "mixed.yaml", line: 8, field: "spec.ports[0].port" }]);
    expect(actions.problems()).toHaveLength(1);
    actions.apply([{ name: "mixed.yaml", text: "apiVersion: v1\nkind: Namespace\nmetadata: {name: ok}\n" }]);
    expect(actions.problems()).toEqual([]);
  });

  it("keeps an invalid policy, so that what it was to close does not open", () => {
    const policy = {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: "deny", namespace: "a" },
      spec: { action: "DENNY" },
    };
    const answer = apply(policy);
    expect(answer.problems.length).toBeGreaterThan(0);
    expect(store.list("AuthorizationPolicy")).toHaveLength(1);
  });

  it("keeps labels that others added and takes away those the text no longer has", () => {
    apply(namespace("a", { mine: "1", also: "2" }));
    actions.label({ kind: "Namespace", name: "a" }, { theirs: "3" }, false);
    apply(namespace("a", { mine: "1" }));
    expect(store.list("Namespace")[0]?.metadata.labels).toEqual({ mine: "1", theirs: "3" });
  });

  it("replaces a pod whose spec changed, after the old one is gone", () => {
    apply(pod("one"));
    const uid = store.get(POD_KEY)?.metadata.uid;
    expect(did(apply(pod("two")))).toEqual(["configured"]);
    actions.createSuccessors();
    expect(store.get(POD_KEY)?.metadata).toMatchObject({ uid, deletionTimestamp: expect.any(String) });
    store.remove(store.get(POD_KEY) as KubeObject);
    actions.createSuccessors();
    expect(store.get(POD_KEY)?.metadata.uid).not.toBe(uid);
    expect(store.get(POD_KEY)?.metadata.deletionTimestamp).toBeUndefined();
  });

  it("keeps what the lab assigned", () => {
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "s", namespace: "a" },
      spec: { ports: [{ port: 80 }] },
    };
    apply(service);
    const key = objectKey({ kind: "Service", metadata: { namespace: "a", name: "s" } });
    const stored = store.base(key) as KubeObject;
    store.put({ ...stored, spec: { ...stored.spec, clusterIP: "10.96.1.0", clusterIPs: ["10.96.1.0"] } });
    expect(did(apply(service))).toEqual(["unchanged"]);
    expect(did(apply({ ...service, spec: { ports: [{ port: 81 }] } }))).toEqual(["configured"]);
    expect(store.get(key)?.spec).toMatchObject({ clusterIP: "10.96.1.0", ports: [{ port: 81 }] });
    apply({ ...service, spec: { clusterIP: "None", ports: [{ port: 81 }] } });
    expect(store.get(key)?.spec).toEqual({ clusterIP: "None", ports: [{ port: 81 }] });
  });
});

describe("delete", () => {
  it("takes everything in a namespace along; pods are marked until they have ended", () => {
    apply(namespace("a"), pod("one"), {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "x", namespace: "a" },
    });
    actions.deleteOne({ kind: "Namespace", name: "a" });
    expect(store.list().map((one) => one.kind)).toEqual(["Pod"]);
    expect(store.list()[0]?.metadata.deletionTimestamp).toBeDefined();
  });

  it("says which object there is not", () => {
    expect(() => actions.deleteOne({ kind: "Service", name: "none" })).toThrow(/Service none/);
  });

  it("deletes what files name and is silent on what is gone already", () => {
    apply(namespace("a"));
    const file = { name: "f", text: JSON.stringify(namespace("a")) };
    expect(did(actions.deleteFiles([file]))).toEqual(["deleted"]);
    expect(did(actions.deleteFiles([file]))).toEqual([]);
  });
});

describe("label", () => {
  it("sets, refuses to overwrite unasked, overwrites, and takes away", () => {
    apply(namespace("a"));
    const ref = { kind: "Namespace", name: "a" };
    expect(actions.label(ref, { mode: "x" }, false).action).toBe("configured");
    expect(actions.label(ref, { mode: "x" }, false).action).toBe("unchanged");
    expect(() => actions.label(ref, { mode: "y" }, false)).toThrow(/--overwrite/);
    expect(actions.label(ref, { mode: "y" }, true).action).toBe("configured");
    expect(actions.label(ref, { mode: null }, false).action).toBe("configured");
    expect(store.list("Namespace")[0]?.metadata.labels).toEqual({});
  });
});

describe("patches", () => {
  it("of others are part of the effective object and go with it", () => {
    apply(pod("one"));
    store.report(POD_KEY, { status: { phase: "Running" } });
    const patches = join(folder, ".patches", "Pod", "a", "p");
    mkdirSync(patches, { recursive: true });
    writeFileSync(join(patches, "ztunnel.json"), '{"metadata":{"annotations":{"x":"1"}}}');
    writeFileSync(join(patches, "broken.json"), "{");
    const object = store.get(POD_KEY) as KubeObject;
    expect(object.status).toEqual({ phase: "Running" });
    expect(store.effective(object).metadata.annotations).toEqual({ x: "1" });
    store.remove(object);
    expect(() => readdirSync(patches)).toThrow();
  });
});

describe("ensure", () => {
  it("makes, leaves alone, and brings back what was changed, with what others added", () => {
    const made = namespace("a", { x: "1" }) as KubeObject;
    const changes: number[] = [];
    actions.ensure(made);
    store.onChange(() => changes.push(1));
    actions.ensure(made);
    expect(changes).toEqual([]);
    actions.label({ kind: "Namespace", name: "a" }, { x: "2", y: "3" }, true);
    actions.ensure(made);
    expect(store.list("Namespace")[0]?.metadata.labels).toEqual({ x: "1", y: "3" });
  });
});

describe("applyOver", () => {
  it("keeps who made the object when a user's text says nothing about that", () => {
    const ownerReferences = [{ kind: "Gateway", name: "w", uid: "u", controller: true }];
    const stored: KubeObject = { ...pod("one"), metadata: { ...pod("one").metadata, ownerReferences } };
    expect(applyOver(stored, undefined, pod("two")).metadata.ownerReferences).toEqual(ownerReferences);
  });

  it("does not lose the mark of an object that is being deleted", () => {
    const stored = { ...pod("one"), metadata: { ...pod("one").metadata, uid: "u", deletionTimestamp: "now" } };
    expect(applyOver(stored, undefined, pod("two")).metadata.deletionTimestamp).toBe("now");
  });

  it("compares without regard to the order of fields", () => {
    expect(sameIntent({ a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ d: 3, c: 2 }], a: 1 })).toBe(true);
    expect(sameIntent({ a: [1, 2] }, { a: [2, 1] })).toBe(false);
    expect(sameIntent({ a: undefined }, {})).toBe(true);
    expect(sameIntent({ a: {} }, { a: [] })).toBe(false);
  });
});
