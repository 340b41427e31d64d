import type { SecretManager, SecretState } from "@ambit/shared/ca";
import type { SpiffeUri } from "@ambit/shared/identity";
import type { Workload } from "@ambit/shared/workload";
import { describe, expect, it } from "@jest/globals";
import type { ToWorker } from "../messages.ts";
import { LocalCertificates } from "./local-certificates.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web" as SpiffeUri;
const available: SecretState = {
  kind: "available",
  renewAtMs: 0,
  material: { identity: WEB, keyPem: "k", chainPem: "c", rootsPem: "r", notAfter: 9 },
};

function setUp() {
  const calls: string[] = [];
  const sent: ToWorker[] = [];
  const states = new Map<SpiffeUri, SecretState>();
  const secrets: SecretManager = {
    want: (identity, urgency) => void calls.push(`${urgency} ${identity}`),
    forget: (identity) => void calls.push(`forget ${identity}`),
    state: (identity) => states.get(identity),
    identities: () => [...states.keys()],
    renewAll: () => {},
    stop: () => {},
  };
  const broadcast = (message: ToWorker): void => void sent.push(message);
  const certificates = new LocalCertificates({ secrets, broadcast, nodeName: "node1", trustDomain: "cluster.local" });
  return { certificates, calls, sent, states };
}

const workload = (over: Partial<Workload> = {}): Workload =>
  ({
    uid: "w1",
    node: "node1",
    protocol: "HBONE",
    namespace: "shop",
    serviceAccount: "web",
    trustDomain: "cluster.local",
    ...over,
  }) as Workload;
const added = (one: Workload) => ({ workloads: [one], services: [], removed: [] });

describe("LocalCertificates", () => {
  it("fetches ahead for mesh workloads of this node only", () => {
    const { certificates, calls } = setUp();
    certificates.onAddresses(added(workload()));
    certificates.onAddresses(added(workload({ uid: "w2", node: "node2", serviceAccount: "far" })));
    certificates.onAddresses(added(workload({ uid: "w3", protocol: "TCP", serviceAccount: "plain" })));
    certificates.onAddresses(
      added(workload({ uid: "w4", protocol: "TCP", nativeTunnel: true, serviceAccount: "sidecar" })),
    );
    expect(calls).toEqual([`warm ${WEB}`, "warm spiffe://cluster.local/ns/shop/sa/sidecar"]);
  });

  it("forgets an identity with its last user, pods and workloads together", () => {
    const { certificates, calls, sent } = setUp();
    certificates.onAddresses(added(workload()));
    certificates.podAttached({ uid: "p1", namespace: "shop", serviceAccount: "web" });
    certificates.onAddresses({ workloads: [], services: [], removed: ["w1"] });
    expect(calls).toEqual([`warm ${WEB}`]);
    certificates.podDetached("p1");
    expect(calls).toEqual([`warm ${WEB}`, `forget ${WEB}`]);
    expect(sent).toMatchObject([{ kind: "certificate-unavailable", identity: WEB }]);
  });

  it("follows a workload that moves away or leaves the mesh", () => {
    const { certificates, calls } = setUp();
    certificates.onAddresses(added(workload()));
    certificates.onAddresses(added(workload({ protocol: "TCP" })));
    expect(calls.at(-1)).toBe(`forget ${WEB}`);
  });

  it("asks with priority when a connection waits, and answers at once what is known", () => {
    const { certificates, calls, sent, states } = setUp();
    certificates.podAttached({ uid: "p1", namespace: "shop", serviceAccount: "web" });
    certificates.demanded(WEB);
    expect(calls.at(-1)).toBe(`demand ${WEB}`);
    states.set(WEB, available);
    certificates.demanded(WEB);
    expect(sent).toEqual([{ kind: "certificate", update: available.kind === "available" ? available.material : {} }]);
  });

  it("case 14: never requests an identity that no pod of this node has", () => {
    const { certificates, calls, sent } = setUp();
    certificates.demanded("spiffe://cluster.local/ns/kube-system/sa/admin");
    expect(calls).toEqual([]);
    expect(sent).toMatchObject([{ kind: "certificate-unavailable" }]);
  });

  it("gives workers what the secret manager learns, as long as somebody here uses it", () => {
    const { certificates, sent } = setUp();
    certificates.changed(WEB, available);
    expect(sent).toEqual([]);
    certificates.podAttached({ uid: "p1", namespace: "shop", serviceAccount: "web" });
    certificates.changed(WEB, available);
    certificates.changed(WEB, { kind: "unavailable", message: "no CA", retryAtMs: 1 });
    expect(sent.map(({ kind }) => kind)).toEqual(["certificate", "certificate-unavailable"]);
  });
});
