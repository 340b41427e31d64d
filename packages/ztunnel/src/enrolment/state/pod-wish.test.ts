import type { KubeObject } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { interfaceNames, wishOf } from "./pod-wish.ts";

const FACTS = { dnsByDefault: true, excludedNamespaces: new Set(["kube-system"]), systemNamespace: "istio-system" };

interface PodParts {
  readonly namespace?: string;
  readonly uid?: string;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly spec?: Record<string, unknown>;
  readonly status?: Record<string, unknown>;
}

function pod({ namespace = "shop", uid = "uid-1", labels = {}, annotations = {}, spec, status }: PodParts): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace, uid, labels, annotations },
    spec: spec ?? {},
    status: status ?? { phase: "Running", podIPs: [{ ip: "10.0.0.5" }, { ip: "fd00::5" }] },
  };
}
const namespace = (mode?: string): KubeObject => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name: "shop", labels: mode === undefined ? {} : { "istio.io/dataplane-mode": mode } },
});
const AMBIENT = namespace("ambient");

describe("wishOf", () => {
  it("describes a pod of an ambient namespace completely", () => {
    const annotations = { "ambient.istio.io/dns-capture": "F", "istio.io/reroute-virtual-interfaces": "vnet1,vnet0" };
    expect(wishOf(pod({ annotations, spec: { serviceAccountName: "web-sa" } }), AMBIENT, FACTS)).toEqual({
      kind: "wanted",
      pod: {
        uid: "uid-1",
        key: "Pod/shop/web",
        name: "web",
        namespace: "shop",
        serviceAccount: "web-sa",
        ips: ["10.0.0.5", "fd00::5"],
        dns: false,
        ingressMode: false,
        virtualInterfaces: ["vnet0", "vnet1"],
      },
    });
  });

  it.each([
    ["ambient", undefined, "wanted"],
    ["ambient", "ambient", "wanted"],
    ["ambient", "none", "out"],
    ["ambient", "kmesh", "wanted"],
    ["none", "ambient", "wanted"],
    [undefined, "ambient", "wanted"],
    ["none", undefined, "out"],
    [undefined, undefined, "out"],
  ])("with namespace label %s and pod label %s is %s", (ofNamespace, ofPod, expected) => {
    const labels: Record<string, string> = ofPod === undefined ? {} : { "istio.io/dataplane-mode": ofPod };
    expect(wishOf(pod({ labels }), namespace(ofNamespace), FACTS).kind).toBe(expected);
  });

  it.each([
    ["an excluded namespace", { namespace: "kube-system" }],
    ["the node's network", { spec: { hostNetwork: true } }],
    ["a sidecar, whatever its status says", { annotations: { "sidecar.istio.io/status": "" } }],
    ["the proxy itself", { namespace: "istio-system", labels: { app: "ztunnel" } }],
    ["a uid that is a path", { uid: "../../etc" }],
    ["no uid", { uid: "" }],
  ])("leaves out a pod with %s", (_, parts) => {
    const labels = { "istio.io/dataplane-mode": "ambient", ...(parts as PodParts).labels };
    expect(wishOf(pod({ ...parts, labels }), AMBIENT, FACTS).kind).toBe("out");
  });

  it("waits for an address, and knows when a pod has ended", () => {
    expect(wishOf(pod({ status: { phase: "Pending" } }), AMBIENT, FACTS).kind).toBe("waiting");
    expect(wishOf(pod({ status: { phase: "Succeeded" } }), AMBIENT, FACTS).kind).toBe("gone");
    expect(wishOf(pod({ status: { phase: "Failed", podIP: "10.0.0.5" } }), undefined, FACTS).kind).toBe("gone");
  });
});

describe("interfaceNames", () => {
  it("lets nothing through that nft could read as more than a name", () => {
    const list = 'vnet0, tap1 ,,x"; drop; #,name-that-is-far-too-long,../lo,a b,vnet0,"';
    expect(interfaceNames(list)).toEqual(["tap1", "vnet0"]);
  });
});
