import { describe, expect, it } from "@jest/globals";
import { byAge, isReady, isTerminal, namedPortOf, parseGoBoolean, podIps, serviceAccountOf } from "./accessors.ts";
import type { KubeObject } from "./model.ts";
import { selectorMatches } from "./selector.ts";

const pod = (rest: Partial<KubeObject>): KubeObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "shop" },
  ...rest,
});

describe("pod accessors", () => {
  it("takes podIPs before podIP, unwraps mapped addresses and refuses what is none", () => {
    expect(podIps(pod({ status: { podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }], podIP: "10.0.0.9" } }))).toEqual([
      "10.0.0.1",
      "fd00::1",
    ]);
    expect(podIps(pod({ status: { podIP: "::ffff:10.0.0.1" } }))).toEqual(["10.0.0.1"]);
    expect(podIps(pod({}))).toEqual([]);
    expect(podIps(pod({ status: { podIPs: [{ ip: "10.0.0.1" }, { ip: "no" }] } }))).toBeUndefined();
  });

  it("is ready only with condition Ready True, and never while being deleted", () => {
    const status = { conditions: [{ type: "Ready", status: "True" }] };
    expect(isReady(pod({ status }))).toBe(true);
    expect(isReady(pod({ status: { conditions: [{ type: "Ready", status: "Unknown" }] } }))).toBe(false);
    expect(isReady(pod({ status, metadata: { name: "p", deletionTimestamp: "2026-01-01T00:00:00Z" } }))).toBe(false);
  });

  it("tells finished pods", () => {
    const phases = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
    expect(phases.map((phase) => isTerminal(pod({ status: { phase } })))).toEqual([false, false, true, true, false]);
  });

  it("finds named TCP ports in containers and in sidecar init containers", () => {
    const port = (name: string, containerPort: number, protocol?: string) => ({ name, containerPort, protocol });
    const spec = {
      containers: [{ ports: [port("dns", 53, "UDP"), port("http", 8080)] }],
      initContainers: [{ restartPolicy: "Always", ports: [port("metrics", 9090)] }, { ports: [port("setup", 1)] }],
    };
    const found = ["http", "metrics", "dns", "setup"].map((name) => namedPortOf(pod({ spec }), name));
    expect(found).toEqual([8080, 9090, undefined, undefined]);
  });

  it("gives the default service account to a pod that names none", () => {
    expect(serviceAccountOf(pod({ spec: {} }))).toBe("default");
  });
});

describe("byAge", () => {
  it("puts the oldest first and breaks ties by name", () => {
    const named = (name: string, creationTimestamp?: string) =>
      pod({ metadata: { name, namespace: "shop", ...(creationTimestamp && { creationTimestamp }) } });
    const sorted = [
      named("new"),
      named("b", "2026-01-02T00:00:00Z"),
      named("c", "2026-01-01T00:00:00Z"),
      named("a", "2026-01-02T00:00:00Z"),
    ].sort(byAge);
    expect(sorted.map(({ metadata }) => metadata.name)).toEqual(["c", "a", "b", "new"]);
  });
});

describe("parseGoBoolean", () => {
  it.each([
    ["1", true],
    ["True", true],
    ["f", false],
    ["FALSE", false],
    ["yes", undefined],
    [undefined, undefined],
  ])("reads %j as %j", (text, expected) => expect(parseGoBoolean(text)).toBe(expected));
});

describe("selectorMatches", () => {
  const labels = { app: "web", tier: "front" };
  it.each([
    [{}, true],
    [{ matchLabels: { app: "web" } }, true],
    [{ matchLabels: { app: "cart" } }, false],
    [{ matchLabels: { constructor: "x" } }, false],
    [{ matchExpressions: [{ key: "app", operator: "In", values: ["web", "cart"] }] }, true],
    [{ matchExpressions: [{ key: "app", operator: "NotIn", values: ["web"] }] }, false],
    [{ matchExpressions: [{ key: "zone", operator: "NotIn", values: ["a"] }] }, true],
    [{ matchExpressions: [{ key: "tier", operator: "Exists" }] }, true],
    [{ matchExpressions: [{ key: "tier", operator: "DoesNotExist" }] }, false],
    [{ matchExpressions: [{ key: "tier", operator: "Near" }] }, false],
    [{ matchLabels: "app=web" }, false],
    [undefined, false],
  ])("%j selects: %j", (selector, expected) => {
    expect(selectorMatches(selector, labels)).toBe(expected);
  });
});
