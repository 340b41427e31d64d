import type { IpAddress } from "@ambit/shared/net";
import { describe, expect, it } from "@jest/globals";
import { nftScript } from "./nft-script.ts";
import { pickEndpoint } from "./pick-endpoint.ts";
import type { VirtualPort } from "./service-table.ts";

const ip = (text: string): IpAddress => text as IpAddress;
const port = (change: Partial<VirtualPort>): VirtualPort => ({
  ip: ip("10.96.1.0"),
  protocol: "TCP",
  port: 80,
  nodePort: undefined,
  sticky: false,
  endpoints: [{ ip: ip("10.1.0.2"), port: 8080 }],
  ...change,
});
const script = (ports: readonly VirtualPort[], ipv6 = true): string =>
  nftScript({ ports, localPods: [ip("10.1.0.2")], ipv6 });

describe("nftScript", () => {
  it("replaces the whole table in one transaction", () => {
    expect(script([]).split("\n").slice(0, 3)).toEqual([
      "add table inet lab_services",
      "delete table inet lab_services",
      "table inet lab_services {",
    ]);
  });

  it("chooses at random among the endpoints", () => {
    const endpoints = [port({}).endpoints[0], { ip: ip("10.2.0.2"), port: 9090 }] as VirtualPort["endpoints"];
    expect(script([port({ endpoints })])).toContain(
      "meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.1.0.2 . 8080, 1 : 10.2.0.2 . 9090 }",
    );
  });

  it("keeps a client with its endpoint when the service asks for that", () => {
    expect(script([port({ sticky: true })])).toContain("jhash ip saddr mod 1");
  });

  it("has no rule for a port without endpoints, so that what remains is refused", () => {
    const text = script([port({ endpoints: [] })]);
    expect(text).not.toContain("10.96.1.0");
    expect(text).toContain("ip daddr 10.96.0.0/16 meta l4proto tcp reject with tcp reset");
  });

  it("leaves IPv6 out where there is none", () => {
    const text = script([port({ ip: ip("fd00:10:96::100"), endpoints: [{ ip: ip("fd00:10:1::2"), port: 1 }] })], false);
    expect(text).not.toContain("ip6");
  });

  it("changes the source of a pod that reaches itself through its service", () => {
    expect(script([])).toContain("ip saddr . ip daddr { 10.1.0.2 . 10.1.0.2 } masquerade");
  });
});

describe("pickEndpoint", () => {
  it("takes every endpoint, and none when there is none", () => {
    const two = port({ endpoints: [1, 2].map((n) => ({ ip: ip("10.1.0.2"), port: n })) });
    expect([0, 0.49, 0.5, 0.999].map((random) => pickEndpoint(two, random)?.port)).toEqual([1, 1, 2, 2]);
    expect(pickEndpoint(port({ endpoints: [] }), 0.5)).toBeUndefined();
  });
});
