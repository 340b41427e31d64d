import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { ipFromBytes } from "../net/index.ts";
import * as proto from "../proto/index.ts";
import {
  addressFromProto,
  type GatewayAddress,
  type PortMapping,
  type Service,
  serviceToProto,
  type Workload,
  workloadToProto,
} from "./index.ts";

const text = fc.constantFrom("", "shop", "bank", "a.b.c");
const name = fc.constantFrom("shop", "bank", "web");
const port = fc.nat(65535);
const ip = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map((raw) => {
    const parsed = ipFromBytes(raw);
    if (!parsed.ok) throw new Error(parsed.error);
    return parsed.value;
  });
const ports: fc.Arbitrary<PortMapping[]> = fc.array(fc.record({ servicePort: port, targetPort: port }), {
  maxLength: 2,
});
const gateway: fc.Arbitrary<GatewayAddress> = fc.record({
  destination: fc.oneof(
    fc.record({ kind: fc.constant("address" as const), network: text, address: ip }),
    fc.record({ kind: fc.constant("hostname" as const), namespace: text, hostname: text }),
  ),
  hboneMtlsPort: port,
});
const scope = fc.constantFrom("Region", "Zone", "Subzone", "Node", "Cluster", "Network");

const workload: fc.Arbitrary<Workload> = fc.record(
  {
    uid: name,
    name: text,
    namespace: text,
    serviceAccount: name,
    trustDomain: name,
    addresses: fc.array(ip, { maxLength: 3 }),
    hostname: text,
    network: text,
    networkMode: fc.constantFrom("Standard", "HostNetwork"),
    protocol: fc.constantFrom("HBONE", "TCP"),
    nativeTunnel: fc.boolean(),
    node: text,
    clusterId: name,
    canonicalName: text,
    canonicalRevision: text,
    workloadName: text,
    workloadType: fc.constantFrom("deployment", "cronjob", "pod", "job"),
    status: fc.constantFrom("Healthy", "Unhealthy"),
    locality: fc.record({ region: text, zone: text, subzone: text }),
    capacity: fc.nat(5),
    waypoint: gateway,
    networkGateway: gateway,
    applicationTunnel: fc.oneof(
      fc.constant<Workload["applicationTunnel"]>({ protocol: "NONE" }),
      fc.record({ protocol: fc.constant("PROXY" as const), port: fc.integer({ min: 1, max: 65535 }) }),
    ) as fc.Arbitrary<NonNullable<Workload["applicationTunnel"]>>,
    authorizationPolicies: fc.array(text, { maxLength: 2 }),
    services: fc.dictionary(
      name.map((key) => `ns/${key}`),
      ports,
      { noNullPrototype: true },
    ),
  },
  {
    requiredKeys: [
      "uid",
      "name",
      "namespace",
      "serviceAccount",
      "trustDomain",
      "addresses",
      "hostname",
      "network",
      "networkMode",
      "protocol",
      "nativeTunnel",
      "node",
      "clusterId",
      "canonicalName",
      "canonicalRevision",
      "workloadName",
      "workloadType",
      "status",
      "locality",
      "capacity",
      "authorizationPolicies",
      "services",
    ],
  },
);
const cidrVip = fc
  .record({ network: text, address: ip })
  .chain(({ network, address }) =>
    fc.nat(address.includes(":") ? 127 : 31).map((prefixLength) => ({ network, address, prefixLength })),
  );
const service: fc.Arbitrary<Service> = fc.record(
  {
    name: text,
    namespace: text,
    hostname: name,
    vips: fc.array(fc.record({ network: text, address: ip }), { maxLength: 2 }),
    cidrVips: fc.array(cidrVip, { maxLength: 2 }),
    ports,
    subjectAltNames: fc.array(text, { maxLength: 2 }),
    waypoint: gateway,
    weightedWaypoints: fc.array(fc.record({ destination: gateway, weight: fc.nat(9) }), { maxLength: 2 }),
    loadBalancing: fc.record({
      mode: fc.constantFrom("Standard", "Strict", "Failover", "Passthrough"),
      routingPreferences: fc.array(scope, { maxLength: 3 }),
      healthPolicy: fc.constantFrom("OnlyHealthy", "AllowAll"),
    }),
    ipFamilies: fc.constantFrom("Automatic", "IPv4", "IPv6", "Dual"),
    canonical: fc.boolean(),
    visibility: fc.constantFrom("Public", "Namespace"),
  },
  {
    requiredKeys: [
      "name",
      "namespace",
      "hostname",
      "vips",
      "cidrVips",
      "ports",
      "subjectAltNames",
      "weightedWaypoints",
      "ipFamilies",
      "canonical",
      "visibility",
    ],
  },
);

const overTheWire = (address: proto.Address) =>
  addressFromProto(fromBinary(proto.AddressSchema, toBinary(proto.AddressSchema, address)));

describe("addresses", () => {
  it("carry every workload over the wire unchanged", () => {
    fc.assert(
      fc.property(workload, (value) =>
        expect(overTheWire(workloadToProto(value))).toEqual({ ok: true, value: { kind: "workload", workload: value } }),
      ),
    );
  });

  it("carry every service over the wire unchanged", () => {
    fc.assert(
      fc.property(service, (value) =>
        expect(overTheWire(serviceToProto(value))).toEqual({ ok: true, value: { kind: "service", service: value } }),
      ),
    );
  });

  it("never throw on bytes that decode as an address", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (raw) => {
        let address: proto.Address;
        try {
          address = fromBinary(proto.AddressSchema, raw);
        } catch {
          return;
        }
        expect(typeof addressFromProto(address).ok).toBe("boolean");
      }),
    );
  });
});

describe("addressFromProto", () => {
  const ofWorkload = (init: Parameters<typeof create<typeof proto.WorkloadSchema>>[1]) =>
    overTheWire(
      create(proto.AddressSchema, {
        type: { case: "workload", value: create(proto.WorkloadSchema, { uid: "u", ...init }) },
      }),
    );
  const ofService = (init: Parameters<typeof create<typeof proto.ServiceSchema>>[1]) =>
    overTheWire(
      create(proto.AddressSchema, {
        type: { case: "service", value: create(proto.ServiceSchema, { hostname: "h", ...init }) },
      }),
    );

  it("applies the documented defaults", () => {
    expect(ofWorkload({})).toMatchObject({
      ok: true,
      value: {
        workload: {
          trustDomain: "cluster.local",
          serviceAccount: "default",
          clusterId: "Kubernetes",
          capacity: 1,
          protocol: "TCP",
        },
      },
    });
    expect(ofWorkload({ capacity: 0 })).toMatchObject({ value: { workload: { capacity: 0 } } });
  });

  it("case 49: reads IPv4-mapped addresses as IPv4", () => {
    const mapped = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1]);
    expect(ofWorkload({ addresses: [mapped] })).toMatchObject({ value: { workload: { addresses: ["10.0.0.1"] } } });
    const service = ofService({
      addresses: [
        { address: mapped, length: 104 },
        { address: mapped, length: 128 },
      ],
    });
    expect(service).toMatchObject({
      value: { service: { vips: [{ address: "10.0.0.1" }], cidrVips: [{ address: "10.0.0.1", prefixLength: 8 }] } },
    });
  });

  it("tells a prefix length of 0 from an absent one", () => {
    const address = Uint8Array.of(10, 0, 0, 0);
    const read = ofService({ addresses: [{ address, length: 0 }, { address }, { address, length: 32 }] });
    expect(read).toMatchObject({
      value: { service: { vips: [{ address: "10.0.0.0" }, { address: "10.0.0.0" }], cidrVips: [{ prefixLength: 0 }] } },
    });
  });

  it("takes an unknown visibility for public", () => {
    expect(ofService({ visibility: 9 as proto.Service_Visibility })).toMatchObject({
      value: { service: { visibility: "Public" } },
    });
  });

  it.each([
    ["an empty uid", ofWorkload({ uid: "" }), "uid"],
    ["5 address bytes", ofWorkload({ addresses: [new Uint8Array(5)] }), "addresses[0]"],
    ["LEGACY_ISTIO_MTLS", ofWorkload({ tunnelProtocol: proto.TunnelProtocol.LEGACY_ISTIO_MTLS }), "tunnel_protocol"],
    ["an unknown status", ofWorkload({ status: 7 as proto.WorkloadStatus }), "status"],
    ["a service key without namespace", ofWorkload({ services: { host: {} } }), "services"],
    [
      "a port beyond 65535",
      ofWorkload({ services: { "a/b": { ports: [{ servicePort: 70_000 }] } } }),
      'services["a/b"]',
    ],
    ["a gateway without destination", ofWorkload({ waypoint: {} }), "waypoint"],
    [
      "a network gateway with a bad IP",
      ofWorkload({ networkGateway: { destination: { case: "address", value: {} } } }),
      "network_gateway",
    ],
    ["a service without hostname", ofService({ hostname: "" }), "hostname"],
    [
      "a prefix longer than the address",
      ofService({ addresses: [{ address: new Uint8Array(4), length: 33 }] }),
      "addresses[0]",
    ],
    ["UNSPECIFIED_SCOPE", ofService({ loadBalancing: { routingPreference: [0] } }), "routing_preference[0]"],
    ["an unknown mode", ofService({ loadBalancing: { mode: 9 as proto.LoadBalancing["mode"] } }), "mode"],
    [
      "a weighted waypoint without destination",
      ofService({ weightedWaypoints: [{ weight: 1 }] }),
      "weighted_waypoints[0]",
    ],
    ["neither workload nor service", overTheWire(create(proto.AddressSchema)), "neither"],
  ])("refuses %s and says where", (_what, result, where) => {
    expect(result.ok).toBe(false);
    expect(!result.ok && result.error).toContain(where);
  });
});
