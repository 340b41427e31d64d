import { ipOf, parseAuthority } from "@ambit/shared/net";
import { describe, expect, it } from "@jest/globals";
import { tunnelDestination } from "./tunnel-destination.ts";

const place = { ownIp: ipOf("10.0.0.7"), allowsLoopback: false };

function destinationOf(text: string, where = place): unknown {
  const authority = parseAuthority(text);
  if (!authority.ok) throw new Error(authority.error);
  const destination = tunnelDestination(authority.value, where);
  return destination.ok ? destination.value : destination.error.code;
}

describe("tunnelDestination", () => {
  it.each([
    ["a service's address", "10.96.0.1:80", { kind: "address", ip: "10.96.0.1", port: 80 }],
    ["an IPv4-mapped address", "[::ffff:10.96.0.1]:80", { kind: "address", ip: "10.96.0.1", port: 80 }],
    ["another spelling of an address", "[FD00:0::0:1]:80", { kind: "address", ip: "fd00::1", port: 80 }],
    ["a hostname in any case", "Cart.shop.SVC:80", { kind: "hostname", hostname: "cart.shop.svc", port: 80 }],
    ["an address Istio made up", "240.240.0.1:443", { kind: "address", ip: "240.240.0.1", port: 443 }],
  ])("normalises %s", (_label, text, expected) => {
    expect(destinationOf(text)).toEqual(expected);
  });

  it.each([
    ["the waypoint's own address, any port", "10.0.0.7:80"],
    ["its own address, mapped", "[::ffff:10.0.0.7]:9080"],
    ["a proxy's port", "10.0.0.9:15008"],
    ["a proxy's port by name", "cart.shop.svc:15008"],
    ["loopback", "127.9.9.9:80"],
    ["IPv6 loopback", "[::1]:80"],
    ["link-local", "169.254.0.1:80"],
    ["IPv6 link-local", "[febf::1]:80"],
    ["unspecified", "0.0.0.0:80"],
    ["broadcast", "255.255.255.255:80"],
    ["localhost", "localhost:80"],
    ["under localhost", "metrics.localhost:80"],
  ])("case 7: refuses %s", (_label, text) => {
    expect(destinationOf(text)).toBe("LOOP_REFUSED");
  });

  it("knows that pods may be on loopback, though never the machine's own services", () => {
    const lab = { ownIp: ipOf("127.64.0.7"), allowsLoopback: true };
    expect(destinationOf("127.64.0.8:80", lab)).toEqual({ kind: "address", ip: "127.64.0.8", port: 80 });
    for (const text of ["127.64.0.7:80", "127.0.0.1:15000", "[::1]:80", "localhost:80"])
      expect(destinationOf(text, lab)).toBe("LOOP_REFUSED");
  });
});
