import type { HeaderList } from "@ambit/shared/http2";
import type { IpAddress } from "@ambit/shared/net";
import { describe, expect, it } from "@jest/globals";
import { formatClientCert, isReservedHeader, sanitizeCaller, tunnelForwarded } from "./forwarded-identity.ts";
import { requestIdOf, withRequestId } from "./request-id.ts";

const PEER = "spiffe://cluster.local/ns/shop/sa/web";
const LOCAL = "spiffe://cluster.local/ns/shop/sa/waypoint";
const peers = { peerPrincipal: PEER, localPrincipal: LOCAL };

describe("requestIdOf", () => {
  const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

  it("keeps the caller's id", () => {
    expect(requestIdOf([["x-request-id", "abc-1"]], Math.random)).toBe("abc-1");
  });

  it.each([
    ["none", []],
    [
      "two",
      [
        ["x-request-id", "a"],
        ["x-request-id", "b"],
      ],
    ],
    ["empty", [["x-request-id", ""]]],
    ["over-long", [["x-request-id", "a".repeat(257)]]],
    ["with a blank", [["x-request-id", "a b"]]],
    ["not ASCII", [["x-request-id", "caf\u00e9"]]],
  ] as [string, HeaderList][])("makes a UUID for %s", (_, headers) => {
    expect(requestIdOf(headers, Math.random)).toMatch(UUID);
  });

  it("is the only one in what goes on", () => {
    const headers: HeaderList = [
      ["x-request-id", "a"],
      ["accept", "*/*"],
      ["x-request-id", "b"],
    ];
    expect(withRequestId(headers, "c")).toEqual([
      ["accept", "*/*"],
      ["x-request-id", "c"],
    ]);
    const same: HeaderList = [["x-request-id", "c"]];
    expect(withRequestId(same, "c")).toBe(same);
  });
});

describe("sanitizeCaller", () => {
  const CERT = "x-forwarded-client-cert";
  const spoofed: HeaderList = [
    [CERT, "URI=spiffe://evil"],
    [CERT, "By=x;URI=spiffe://worse"],
    ["accept", "*/*"],
  ];
  const certs = (headers: HeaderList) => headers.filter(([name]) => name === CERT).map(([, value]) => value);

  it("strips every copy of a client certificate by default", () => {
    expect(certs(sanitizeCaller(spoofed, "http", "sanitize", peers))).toEqual([]);
  });

  it("writes the proven peer instead when asked to", () => {
    expect(certs(sanitizeCaller(spoofed, "http", "replace-with-peer", peers))).toEqual([`By=${LOCAL};URI=${PEER}`]);
  });

  it("writes nothing, and still strips, when no peer is proven", () => {
    const nobody = { peerPrincipal: undefined, localPrincipal: LOCAL };
    expect(certs(sanitizeCaller(spoofed, "http", "replace-with-peer", nobody))).toEqual([]);
    expect(certs(sanitizeCaller(spoofed, "http", "forward", nobody))).toEqual([]);
  });

  it("forwards what a proven peer says only when told to", () => {
    expect(certs(sanitizeCaller(spoofed, "http", "forward", peers))).toHaveLength(2);
  });

  it("adds x-forwarded-proto when missing and leaves x-forwarded-for and forwarded alone", () => {
    const headers: HeaderList = [
      ["x-forwarded-for", "1.2.3.4"],
      ["forwarded", "for=1.2.3.4"],
    ];
    expect(sanitizeCaller(headers, "http", "sanitize", peers)).toEqual([...headers, ["x-forwarded-proto", "http"]]);
    const given: HeaderList = [["x-forwarded-proto", "https"]];
    expect(sanitizeCaller(given, "http", "sanitize", peers)).toEqual(given);
  });

  it("takes out what only the mesh may say, and leaves wishes to the router", () => {
    const headers: HeaderList = [
      ["x-envoy-peer-metadata", "AA"],
      ["x-envoy-peer-metadata-id", "x"],
      ["x-envoy-decorator-operation", "x"],
      ["x-envoy-internal", "true"],
      ["x-envoy-expected-rq-timeout-ms", "1"],
      ["x-istio-attributes", "x"],
      ["x-ambit-reason", "POLICY_DENIED"],
      ["x-ambit-anything", "x"],
      ["x-envoy-max-retries", "3"],
      ["x-envoy-attempt-count", "2"],
    ];
    expect(sanitizeCaller(headers, "http", "sanitize", peers).map(([name]) => name)).toEqual([
      "x-envoy-max-retries",
      "x-envoy-attempt-count",
      "x-forwarded-proto",
    ]);
    expect(isReservedHeader("x-ambitious")).toBe(false);
  });

  it.each([
    "spiffe://td/ns/a;URI=spiffe://evil",
    'spiffe://td/"',
    "spiffe://td/a,By=x",
    "not-spiffe",
    "spiffe://td/\r\nx: y",
  ])("case 16: never writes the principal %j", (principal) => {
    expect(formatClientCert({ peerPrincipal: principal, localPrincipal: LOCAL })).toBeUndefined();
    expect(formatClientCert({ peerPrincipal: PEER, localPrincipal: principal })).toBe(`URI=${PEER}`);
  });

  it("tells the destination the client's own address and the service", () => {
    expect(tunnelForwarded({ ip: "10.0.0.1" as IpAddress, port: 4242 }, "cart.shop")).toBe(
      'for="10.0.0.1:4242";host=cart.shop',
    );
  });
});
