import { toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "@jest/globals";
import { ipOf } from "../net/index.ts";
import { AddressSchema } from "../proto/index.ts";
import { type AddressDelta, MeshStore, type Workload, workloadToProto } from "../workload/index.ts";
import { AddressReader } from "./address-reader.ts";
import type { ReceivedResource } from "./subscriptions.ts";
import { ADDRESS_TYPE_URL } from "./type-urls.ts";

const workload = (uid: string, ip: string): Workload => ({
  uid,
  name: uid,
  namespace: "shop",
  serviceAccount: "web",
  trustDomain: "cluster.local",
  addresses: [ipOf(ip)],
  hostname: "",
  network: "",
  networkMode: "Standard",
  protocol: "HBONE",
  nativeTunnel: false,
  node: "",
  clusterId: "Kubernetes",
  canonicalName: "",
  canonicalRevision: "",
  workloadName: "web",
  workloadType: "pod",
  status: "Healthy",
  locality: { region: "", zone: "", subzone: "" },
  capacity: 1,
  authorizationPolicies: [],
  services: {},
});
const resource = (of: Workload, name = of.uid): ReceivedResource => ({
  name,
  version: "1",
  bytes: toBinary(AddressSchema, workloadToProto(of)),
});

function deltasOf(
  reader: AddressReader,
  upserted: readonly ReceivedResource[],
  removed: readonly string[] = [],
): AddressDelta[] {
  return [...reader.read({ typeUrl: ADDRESS_TYPE_URL, upserted, removed })].map(({ delta }) => delta);
}

describe("AddressReader", () => {
  it("feeds a store, in pieces, with removals last", () => {
    const many = Array.from({ length: 1201 }, (_, n) => resource(workload(`w${n}`, `10.0.${n >> 8}.${n & 255}`)));
    const reader = new AddressReader();
    const deltas = deltasOf(reader, many, ["w7"]);
    expect(deltas.map(({ workloads, removed }) => [workloads.length, removed.length])).toEqual([
      [500, 0],
      [500, 0],
      [201, 0],
      [0, 1],
    ]);
    const store = new MeshStore();
    for (const delta of deltas) store.apply(delta);
    expect([...store.workloads()]).toHaveLength(1200);
    expect(store.findWorkload("", ipOf("10.0.0.7"))).toBeUndefined();
  });

  it("refuses what does not decode, by name, and takes the rest", () => {
    const bad = { name: "bad", version: "1", bytes: Uint8Array.of(0xff, 0xff) };
    const [reading] = [
      ...new AddressReader().read({
        typeUrl: ADDRESS_TYPE_URL,
        upserted: [bad, resource(workload("w", "10.0.0.1"))],
        removed: [],
      }),
    ];
    expect(reading?.rejected).toMatchObject([
      { name: "bad", reason: expect.stringContaining("istio.workload.Address") },
    ]);
    expect(reading?.delta.workloads).toHaveLength(1);
  });

  it("removes by resource name what the store knows by another key", () => {
    const reader = new AddressReader();
    deltasOf(reader, [resource(workload("uid-1", "10.0.0.1"), "name-1")]);
    expect(deltasOf(reader, [], ["name-1", "unknown"])).toMatchObject([{ removed: ["uid-1", "unknown"] }]);
  });

  it("removes the old key when a resource stands for another", () => {
    const reader = new AddressReader();
    deltasOf(reader, [resource(workload("uid-1", "10.0.0.1"), "name-1")]);
    expect(deltasOf(reader, [resource(workload("uid-2", "10.0.0.1"), "name-1")])).toMatchObject([
      { removed: ["uid-1"] },
    ]);
  });
});
