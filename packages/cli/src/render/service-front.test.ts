import { describe, expect, it } from "@jest/globals";
import { concernsPod, servicesOf } from "../waypoint/service-front.ts";
import type { ConditionState, WaypointState } from "../waypoint/waypoint-state.ts";
import { renderFront } from "./service-front.ts";

const MISSING: ConditionState = {
  type: "istio.io/WaypointBound",
  status: "False",
  reason: "WaypointMissing",
  message: "there is no Gateway shop/w; traffic is refused",
  since: "T1",
};

describe("renderFront", () => {
  it("says that there is no waypoint", () => {
    expect(renderFront({ subject: "service shop/web" })).toEqual(["service shop/web: no waypoint"]);
  });

  it("says why traffic is refused, and how to make what is missing", () => {
    const lines = renderFront({
      subject: "service shop/web",
      waypoint: { gateway: "shop/w", askedBy: "namespace", bound: MISSING },
    });
    expect(lines).toEqual([
      "service shop/web: waypoint shop/w, by the namespace's label",
      "  REFUSED since T1: WaypointMissing: there is no Gateway shop/w; traffic is refused",
      "  there is no Gateway shop/w; make one with: ambit waypoint apply -n shop --name w",
    ]);
  });

  it("says what a waypoint that exists lacks", () => {
    const state = {
      namespace: "shop",
      name: "waypoint",
      className: "ambit-waypoint",
      revision: "default",
      trafficType: "service",
      addresses: [],
      conditions: [],
      wantedPods: 1,
      pods: [],
    };
    const waypoint = { gateway: "shop/waypoint", askedBy: "object", state } as const;
    expect(renderFront({ subject: "service shop/web", waypoint }).slice(1)).toEqual([
      "  not looked at by the control plane yet",
      "  not ready: the control plane has not looked at it yet (no condition Programmed); 0 of 1 pods are ready",
    ]);
  });
});

describe("concernsPod", () => {
  const front = (askedBy: "object" | "namespace", trafficType?: string) => ({
    subject: "pod shop/web",
    waypoint: {
      gateway: "shop/w",
      askedBy,
      ...(trafficType === undefined ? {} : { state: { trafficType } as WaypointState }),
    },
  });

  it.each([
    ["no waypoint", { subject: "pod shop/web" }, false],
    ["its own label", front("object"), true],
    ["a namespace's waypoint for services", front("namespace", "service"), false],
    ["a namespace's waypoint for all", front("namespace", "all"), true],
    ["a namespace's waypoint that is not there", front("namespace"), false],
  ])("with %s", (_what, given, expected) => {
    expect(concernsPod(given)).toBe(expected);
  });
});

describe("servicesOf", () => {
  const service = (name: string, namespace: string, selector?: Record<string, string>) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: selector ? { selector } : {},
  });
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "p", namespace: "shop", labels: { app: "web" } } };

  it("takes those of the pod's namespace that select it", () => {
    const services = [
      service("yes", "shop", { app: "web" }),
      service("other", "shop", { app: "cart" }),
      service("elsewhere", "else", { app: "web" }),
      service("without", "shop"),
      service("empty", "shop", {}),
    ];
    expect(servicesOf(pod, services).map(({ metadata }) => metadata.name)).toEqual(["yes"]);
  });
});
