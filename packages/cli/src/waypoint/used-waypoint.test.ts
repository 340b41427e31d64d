import type { KubeObject } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { usedWaypoint, usersOf } from "./used-waypoint.ts";

const object = (kind: string, labels: Record<string, string>, name = "web"): KubeObject => ({
  apiVersion: "v1",
  kind,
  metadata: kind === "Namespace" ? { name: "shop", labels } : { name, namespace: "shop", labels },
});
const USE = "istio.io/use-waypoint";
const USE_NS = "istio.io/use-waypoint-namespace";

describe("usedWaypoint", () => {
  it.each([
    ["nobody asks", {}, {}, undefined],
    ["the namespace asks", {}, { [USE]: "w" }, { namespace: "shop", name: "w", askedBy: "namespace" }],
    ["the service asks", { [USE]: "own" }, { [USE]: "w" }, { namespace: "shop", name: "own", askedBy: "object" }],
    ["the service opts out", { [USE]: "none" }, { [USE]: "w" }, undefined],
    ["it is elsewhere", { [USE]: "w", [USE_NS]: "infra" }, {}, { namespace: "infra", name: "w", askedBy: "object" }],
    [
      "the namespace's own place does not move the service's",
      { [USE]: "own" },
      { [USE]: "w", [USE_NS]: "infra" },
      { namespace: "shop", name: "own", askedBy: "object" },
    ],
    [
      "an empty label asks for nothing",
      { [USE]: "" },
      { [USE]: "w" },
      { namespace: "shop", name: "w", askedBy: "namespace" },
    ],
  ])("when %s", (_what, labels, home, expected) => {
    expect(usedWaypoint(object("Service", labels), object("Namespace", home))).toEqual(expected);
  });
});

describe("usersOf", () => {
  it("finds what names the waypoint, also from another namespace, and nothing else", () => {
    const objects = [
      object("Namespace", { [USE]: "w" }),
      object("Service", { [USE]: "w" }, "a"),
      object("Service", { [USE]: "other" }, "b"),
      object("Service", { [USE]: "w", [USE_NS]: "infra" }, "c"),
    ];
    expect(usersOf("shop", "w", objects).map(({ kind, metadata }) => `${kind}/${metadata.name}`)).toEqual([
      "Namespace/shop",
      "Service/a",
    ]);
    expect(usersOf("infra", "w", objects).map(({ metadata }) => metadata.name)).toEqual(["c"]);
  });
});
