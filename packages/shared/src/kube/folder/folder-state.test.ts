import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { ObjectKey } from "../model.ts";
import { parseKubeFile } from "../parse-file.ts";
import { FolderState } from "./folder-state.ts";

const KEY = "Service/shop/web" as ObjectKey;
const service = (port: number | string, uid = ""): string =>
  `apiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: shop${uid && `, uid: ${uid}`} }\nspec: { ports: [{ port: ${port} }] }\n`;
const policy = (action: string): string =>
  `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: p, namespace: shop }\nspec: { action: ${action} }\n`;

function folder() {
  const state = new FolderState();
  return {
    state,
    write: (file: string, text: string) => state.setFile(file, parseKubeFile(file, text)),
    port: () => (state.get(KEY)?.spec?.["ports"] as { port: number }[] | undefined)?.[0]?.port,
  };
}

describe("FolderState", () => {
  it("delivers only what changed", () => {
    const { state, write } = folder();
    write("a.yaml", `${service(80)}---\n${policy("DENY")}`);
    expect(state.drain()?.upserted.length).toBe(2);
    write("a.yaml", `${service(81)}---\n${policy("DENY")}`);
    expect(state.drain()?.upserted.map(({ kind }) => kind)).toEqual(["Service"]);
    write("a.yaml", service(81));
    expect(state.drain()?.removed).toEqual(["AuthorizationPolicy/shop/p"]);
    expect(state.drain()).toBeUndefined();
  });

  it("lets the first file in name order have an object two files claim, and says so at the other", () => {
    const { state, write, port } = folder();
    write("b.yaml", service(2));
    write("a.yaml", service(1));
    const change = state.drain();
    expect(port()).toBe(1);
    expect(change?.problems).toMatchObject([{ file: "b.yaml", line: 1, code: "KUBE_OBJECT_INVALID" }]);
    state.removeFile("a.yaml");
    expect(state.drain()?.problems).toEqual([]);
    expect(port()).toBe(2);
  });

  it("keeps what a file last meant while it is malformed, half-written for instance", () => {
    const { state, write, port } = folder();
    write("a.yaml", `${service(80)}---\n${policy("DENY")}`);
    state.drain();
    write("a.yaml", service(81).slice(0, -3));
    const change = state.drain();
    expect(change).toMatchObject({ upserted: [], removed: [], problems: [{ code: "KUBE_YAML_MALFORMED" }] });
    expect(port()).toBe(80);
  });

  it("keeps the last good version of an object that turned invalid, while its file goes on", () => {
    const { state, write, port } = folder();
    write("a.yaml", `${service(80)}---\n${policy("DENY")}`);
    state.drain();
    write("a.yaml", `${service(99999)}---\n${policy("ALLOW")}`);
    const change = state.drain();
    expect(change?.upserted.map(({ kind }) => kind)).toEqual(["AuthorizationPolicy"]);
    expect(change?.problems.map(({ field }) => field)).toEqual(["spec.ports[0].port"]);
    expect(port()).toBe(80);
  });

  it("drops an object that never was valid, but passes a security policy on", () => {
    const { state, write } = folder();
    write("a.yaml", `${service(99999)}---\n${policy("Deny")}`);
    expect(state.drain()?.upserted.map(({ kind }) => kind)).toEqual(["AuthorizationPolicy"]);
  });

  it("merges patches in the name order of their owners, and takes them away again", () => {
    const { state, write, port } = folder();
    write("a.yaml", service(80));
    state.setPatch(KEY, "b", { spec: { ports: [{ port: 2 }] } });
    state.setPatch(KEY, "a", { spec: { ports: [{ port: 1 }], clusterIP: "10.0.0.1" } });
    state.drain();
    expect([port(), state.get(KEY)?.spec?.["clusterIP"]]).toEqual([2, "10.0.0.1"]);
    state.setPatch(KEY, "b", undefined);
    state.drain();
    expect(port()).toBe(1);
  });

  it("never lets a patch change which object it is", () => {
    const { state, write } = folder();
    write("a.yaml", service(80, "u1"));
    state.setPatch(KEY, "x", { kind: "Secret", metadata: { name: "other", namespace: "b", labels: { a: "b" } } });
    const [object] = state.drain()?.upserted ?? [];
    expect(object).toMatchObject({ kind: "Service", metadata: { name: "web", namespace: "shop", labels: { a: "b" } } });
  });

  it("ignores a patch that would make the object invalid, and names it", () => {
    const { state, write, port } = folder();
    write("a.yaml", service(80));
    state.setPatch(KEY, "x", { spec: { ports: [{ port: 0 }] } });
    expect(state.drain()?.problems).toMatchObject([{ file: ".patches/Service/shop/web/x.json" }]);
    expect(port()).toBe(80);
  });

  it("ignores a patch made for an earlier object of the same name", () => {
    const { state, write } = folder();
    write("a.yaml", service(80, "u2"));
    state.setPatch(KEY, "x", { metadata: { uid: "u1", annotations: { "ambient.istio.io/redirection": "enabled" } } });
    state.drain();
    expect(state.get(KEY)?.metadata.annotations).toBeUndefined();
    write("a.yaml", service(80, "u1"));
    state.drain();
    expect(state.get(KEY)?.metadata.annotations).toEqual({ "ambient.istio.io/redirection": "enabled" });
  });

  it("ends, after any sequence of writes, with what the files say when read afresh", () => {
    const step = fc.record({
      file: fc.constantFrom("a.yaml", "b.yaml", "c.yaml"),
      text: fc.option(fc.constantFrom(service(1), service(2), policy("ALLOW"), `${service(3)}---\n${policy("DENY")}`), {
        nil: undefined,
      }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const { state, write } = folder();
        const held = new Map<string, unknown>();
        const files = new Map<string, string>();
        for (const { file, text } of steps) {
          if (text === undefined) state.removeFile(file);
          else write(file, text);
          if (text === undefined) files.delete(file);
          else files.set(file, text);
          const change = state.drain();
          for (const key of change?.removed ?? []) held.delete(key);
          for (const object of change?.upserted ?? []) held.set(`${object.kind}/shop/${object.metadata.name}`, object);
        }
        const fresh = folder();
        for (const [file, text] of files) fresh.write(file, text);
        const wanted = (fresh.state.drain()?.upserted ?? []).map((each) => [
          `${each.kind}/shop/${each.metadata.name}`,
          each,
        ]);
        expect(Object.fromEntries(held)).toEqual(Object.fromEntries(wanted));
      }),
    );
  });
});
