import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { HeaderList } from "../http2/index.ts";
import type { IpAddress } from "../net/index.ts";
import {
  type Baggage,
  buildConnectRequest,
  buildConnectResponse,
  emptyBaggage,
  formatBaggage,
  formatForwarded,
  formatTraceparent,
  newTraceContext,
  parseBaggage,
  parseConnectRequest,
  parseConnectResponse,
  parseForwarded,
  parseTraceparent,
} from "./index.ts";

const cart: Baggage = {
  clusterId: "Kubernetes",
  namespace: "shop",
  workloadType: "deployment",
  workloadName: "cart",
  canonicalName: "cart",
  canonicalRevision: "v1",
  region: "eu",
  zone: "eu-1",
};
const cartText =
  "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,k8s.deployment.name=cart,service.name=cart,service.version=v1," +
  "cloud.region=eu,cloud.availability_zone=eu-1";
const trace = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };

describe("baggage", () => {
  it("is written in Istio's order and spelling", () => {
    expect(formatBaggage(cart)).toBe(cartText);
  });

  it("leaves absent values out", () => {
    expect(formatBaggage({ ...emptyBaggage, namespace: "shop" })).toBe("k8s.namespace.name=shop");
    expect(formatBaggage(emptyBaggage)).toBe("");
  });

  it.each(["a,service.name=evil", "a=b", "a b", "a;b", "a\r\nx: y", "caf\u00e9", "\u010a"])(
    "never writes the value %j, which would forge another member",
    (workloadName) => {
      expect(formatBaggage({ ...emptyBaggage, namespace: "shop", workloadName })).toBe("k8s.namespace.name=shop");
    },
  );

  it("reads several lines, the later member winning", () => {
    expect(parseBaggage(["service.name=a,cloud.region=eu", "service.name=b"])).toEqual({
      ...emptyBaggage,
      canonicalName: "b",
      region: "eu",
    });
  });

  it("reads members with blanks and properties", () => {
    expect(parseBaggage([" service.name = a ;ttl=1 , k8s.job.name=j"])).toMatchObject({
      canonicalName: "a",
      workloadType: "job",
      workloadName: "j",
    });
  });

  it("reads a line that is not ASCII as absent", () => {
    expect(parseBaggage(["service.name=caf\u00e9"])).toEqual(emptyBaggage);
  });

  it("survives any text, `__proto__` included", () => {
    const before = Object.keys(Object.prototype);
    parseBaggage(["__proto__=x,constructor=y"]);
    expect(Object.keys(Object.prototype)).toEqual(before);
    fc.assert(fc.property(fc.array(fc.string({ unit: "binary" })), (lines) => parseBaggage(lines) !== undefined));
  });

  it("reads back what it wrote", () => {
    const text = fc.stringMatching(/^[a-z0-9.:/-]{1,20}$/);
    const baggage = fc.record({
      clusterId: text,
      namespace: text,
      workloadType: fc.constantFrom("deployment" as const, "cronjob" as const, "pod" as const, "job" as const),
      workloadName: text,
      canonicalName: text,
      canonicalRevision: text,
      region: text,
      zone: text,
    });
    fc.assert(fc.property(baggage, (value) => expect(parseBaggage([formatBaggage(value)])).toEqual(value)));
  });
});

describe("forwarded", () => {
  const client = (ip: string) => ({ ip: ip as IpAddress, port: 4242 });

  it("quotes the client and leaves the host bare", () => {
    expect(formatForwarded(client("10.0.0.1"), "cart.shop.svc.cluster.local")).toBe(
      'for="10.0.0.1:4242";host=cart.shop.svc.cluster.local',
    );
    expect(formatForwarded(client("fd00::1"))).toBe('for="[fd00::1]:4242"');
  });

  it("drops a host that is no hostname", () => {
    expect(formatForwarded(client("10.0.0.1"), "a;for=evil")).toBe('for="10.0.0.1:4242"');
  });

  it.each([
    ['for="10.0.0.1:4242";host=a.b', { client: "10.0.0.1:4242", host: "a.b" }],
    ['host="a.b"', { host: "a.b" }],
    ["Host=a.b", { host: "a.b" }],
    ["host=", {}],
    ["host=a;host=b", { host: "a" }],
    ["for=x, host=y", { client: "x" }],
    ["host=caf\u00e9", {}],
    ["", {}],
  ])("reads %j", (text, expected) => {
    expect(parseForwarded(text)).toEqual(expected);
  });

  it("survives any text", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => parseForwarded(text) !== undefined));
  });
});

describe("traceparent", () => {
  it("round-trips", () => {
    const text = formatTraceparent(trace);
    expect(text).toBe("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    expect(parseTraceparent(text)).toEqual(trace);
  });

  it.each([
    `00-${"0".repeat(52)}`,
    `00-${"0".repeat(32)}-b7ad6b7169203331-00`,
    `00-${trace.traceId}-${"0".repeat(16)}-00`,
    `ff-${trace.traceId}-${trace.spanId}-00`,
    `00-${trace.traceId.toUpperCase()}-${trace.spanId}-00`,
    "",
  ])("reads %j as absent", (text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });

  it("makes ids that it accepts itself, whatever the randomness", () => {
    const source = fc.func(fc.double({ min: 0, max: 0.999_999, noNaN: true }));
    fc.assert(
      fc.property(source, (random) => {
        const fresh = newTraceContext(() => random());
        expect(parseTraceparent(formatTraceparent(fresh))).toEqual(fresh);
      }),
    );
  });
});

describe("CONNECT headers", () => {
  const init = { authority: "10.0.0.2:80", baggage: cart, forwarded: 'for="10.0.0.1:1"', trace };

  it("are written in ztunnel's order, without scheme and path", () => {
    expect(buildConnectRequest({ ...init, forwardedNetwork: "net1" }).map(([name]) => name)).toEqual([
      ":method",
      ":authority",
      "baggage",
      "forwarded",
      "traceparent",
      "x-forwarded-network",
    ]);
    expect(buildConnectRequest({ ...init, baggage: emptyBaggage })[2]).toEqual(["baggage", ""]);
  });

  it("read back as they were written", () => {
    expect(parseConnectRequest(buildConnectRequest(init))).toEqual({
      ok: true,
      value: {
        authority: { kind: "address", address: { ip: "10.0.0.2", port: 80 } },
        authorityText: "10.0.0.2:80",
        baggage: cart,
        forwarded: { client: "10.0.0.1:1" },
        trace,
      },
    });
  });

  it.each<[string, HeaderList]>([
    [
      "HBONE_METHOD_NOT_CONNECT",
      [
        [":method", "GET"],
        [":authority", "nonsense"],
      ],
    ],
    ["HBONE_METHOD_NOT_CONNECT", []],
    [
      "HBONE_AUTHORITY_INVALID",
      [
        [":method", "CONNECT"],
        [":authority", "10.0.0.1"],
      ],
    ],
    ["HBONE_AUTHORITY_INVALID", [[":method", "CONNECT"]]],
  ])("refuse with %s", (code, headers) => {
    const parsed = parseConnectRequest(headers);
    expect(!parsed.ok && parsed.error.code).toBe(code);
  });

  it("answer with baggage on success only", () => {
    expect(buildConnectResponse(200, cart)).toEqual([
      [":status", "200"],
      ["baggage", cartText],
    ]);
    expect(buildConnectResponse(503, cart)).toEqual([[":status", "503"]]);
    expect(parseConnectResponse(buildConnectResponse(200, cart))).toEqual({ status: 200, baggage: cart });
    expect(parseConnectResponse([[":status", "2000"]]).status).toBe(0);
  });

  it("are read totally", () => {
    const list = fc.array(fc.tuple(fc.constantFrom(":method", ":authority", "baggage", "__proto__"), fc.string()));
    fc.assert(fc.property(list, (headers) => typeof parseConnectRequest(headers).ok === "boolean"));
  });
});
