import { describe, expect, it } from "@jest/globals";
import { enrolmentOf } from "./enrolment.ts";
import type { KubeObject } from "./model.ts";

const EXCLUDED = new Set(["kube-system"]);

interface PodFacts {
  readonly label?: string | undefined;
  readonly namespaceLabel?: string | undefined;
  readonly namespace?: string;
  readonly hostNetwork?: boolean;
  readonly sidecar?: boolean;
}

function decide(facts: PodFacts) {
  const { label, namespaceLabel, namespace = "shop", hostNetwork = false, sidecar = false } = facts;
  const labelled = (value: string | undefined) => (value === undefined ? {} : { "istio.io/dataplane-mode": value });
  const pod: KubeObject = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "p",
      namespace,
      labels: labelled(label),
      annotations: sidecar ? { "sidecar.istio.io/status": "" } : {},
    },
    spec: { hostNetwork },
  };
  const metadata = { name: namespace, labels: labelled(namespaceLabel) };
  return enrolmentOf(pod, { apiVersion: "v1", kind: "Namespace", metadata }, EXCLUDED);
}

describe("enrolmentOf", () => {
  const OTHERS = ["none", "kmesh", "", undefined];
  const TABLE: readonly (readonly [string | undefined, string | undefined, boolean, string])[] = [
    ["ambient", undefined, true, "namespace-label"],
    ["ambient", "ambient", true, "pod-label"],
    ["ambient", "none", false, "pod-opted-out"],
    ["ambient", "kmesh", true, "namespace-label"],
    ["ambient", "", true, "namespace-label"],
    ...OTHERS.flatMap(
      (namespaceLabel) =>
        [
          [namespaceLabel, "ambient", true, "pod-label"],
          [namespaceLabel, "none", false, "pod-opted-out"],
          [namespaceLabel, "kmesh", false, "not-labelled"],
          [namespaceLabel, "", false, "not-labelled"],
          [namespaceLabel, undefined, false, "not-labelled"],
        ] as const,
    ),
  ];

  it.each(TABLE)("namespace %j, pod %j: enrolled %j by %s", (namespaceLabel, label, enrolled, reason) => {
    expect(decide({ namespaceLabel, label })).toEqual({ enrolled, reason });
  });

  it("leaves out excluded namespaces, the host's network and sidecars before any label counts", () => {
    const labels = { label: "ambient", namespaceLabel: "ambient" };
    expect(decide({ ...labels, namespace: "kube-system" })).toEqual({ enrolled: false, reason: "namespace-excluded" });
    expect(decide({ ...labels, hostNetwork: true })).toEqual({ enrolled: false, reason: "host-network" });
    expect(decide({ ...labels, sidecar: true })).toEqual({ enrolled: false, reason: "sidecar" });
    expect(decide({ ...labels, sidecar: true, hostNetwork: true, namespace: "kube-system" }).reason).toBe(
      "namespace-excluded",
    );
  });

  it("takes a namespace that is not known for one without labels", () => {
    const pod: KubeObject = { apiVersion: "v1", kind: "Pod", metadata: { name: "p", namespace: "shop" }, spec: {} };
    expect(enrolmentOf(pod, undefined, EXCLUDED)).toEqual({ enrolled: false, reason: "not-labelled" });
  });
});
