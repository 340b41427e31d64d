import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { type FormatFacts, resolverOf } from "./format-facts.ts";
import { formatHeader, parseHeaderFormat } from "./header-format.ts";

const FACTS: FormatFacts = {
  request: [
    [":authority", "shop.example"],
    [":path", "/p"],
    ["x-a", "1"],
    ["x-a", "2"],
  ],
  response: [
    [":status", "200"],
    ["x-b", "r"],
  ],
  protocol: "HTTP/1.1",
  startedAtEpochMs: Date.UTC(2026, 0, 2, 3, 4, 5, 67),
  downstreamRemote: "10.0.0.9:1234",
  downstreamLocal: "[fd00::1]:80",
  peerPrincipal: "spiffe://cluster.local/ns/shop/sa/web",
  localPrincipal: "spiffe://cluster.local/ns/shop/sa/waypoint",
  serverName: undefined,
  claims: { sub: "jane", groups: ["a", "b"], deep: { er: "x" } },
  routeName: "route-1",
  cluster: "outbound|80||shop",
  upstreamHost: "10.0.0.3:8080",
  responseFlags: "UF",
  requestId: "id-1",
  hostname: "waypoint-1",
};

function formatted(text: string, facts: Partial<FormatFacts> = {}): string | undefined {
  const format = parseHeaderFormat(text);
  if (!format.ok) throw new Error(format.error);
  return formatHeader(format.value, resolverOf({ ...FACTS, ...facts }));
}

describe("header formats", () => {
  it.each([
    ["plain", "plain"],
    ["100%%", "100%"],
    ["%%REQ(x)%%", "%REQ(x)%"],
    ["<%REQ(X-A)%>", "<1>"],
    ["%REQ(:PATH)%", "/p"],
    ["%REQ(host)%", "shop.example"],
    ["%REQ(x-none?:authority)%", "shop.example"],
    ["%REQ(x-a?x-b)%", "1"],
    ["%REQ(:authority):4%", "shop"],
    ["[%REQ(x-none)%]", "[]"],
    ["[%REQ(x-none?x-nothing)%]", "[]"],
    ["%RESP(x-b)%", "r"],
    ["%RESPONSE_CODE%", "200"],
    ["%RESPONSE_FLAGS%", "UF"],
    ["%PROTOCOL%", "HTTP/1.1"],
    ["%DOWNSTREAM_REMOTE_ADDRESS%", "10.0.0.9:1234"],
    ["%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.0.0.9"],
    ["%DOWNSTREAM_REMOTE_PORT%", "1234"],
    ["%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "10.0.0.9:1234"],
    ["%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "10.0.0.9"],
    ["%DOWNSTREAM_DIRECT_REMOTE_PORT%", "1234"],
    ["%DOWNSTREAM_LOCAL_ADDRESS%", "[fd00::1]:80"],
    ["%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "fd00::1"],
    ["%DOWNSTREAM_LOCAL_PORT%", "80"],
    ["By=%DOWNSTREAM_LOCAL_URI_SAN%", "By=spiffe://cluster.local/ns/shop/sa/waypoint"],
    ["%DOWNSTREAM_PEER_URI_SAN%", "spiffe://cluster.local/ns/shop/sa/web"],
    ["%FILTER_STATE(io.istio.peer_principal:PLAIN)%", "spiffe://cluster.local/ns/shop/sa/web"],
    ["%FILTER_STATE(io.istio.local_principal)%", "spiffe://cluster.local/ns/shop/sa/waypoint"],
    ["[%FILTER_STATE(other)%]", "[]"],
    ["[%REQUESTED_SERVER_NAME%]", "[]"],
    ["%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:sub)%", "jane"],
    ["%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:deep:er)%", "x"],
    ["%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:groups)%", "a,b"],
    ["[%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload)%]", "[]"],
    ["[%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:header:sub)%]", "[]"],
    ["[%DYNAMIC_METADATA(other:payload:sub)%]", "[]"],
    ["%UPSTREAM_HOST%", "10.0.0.3:8080"],
    ["%UPSTREAM_REMOTE_ADDRESS%", "10.0.0.3:8080"],
    ["%UPSTREAM_CLUSTER%", "outbound|80||shop"],
    ["%UPSTREAM_CLUSTER_RAW%", "outbound|80||shop"],
    ["%ROUTE_NAME%", "route-1"],
    ["%HOSTNAME%", "waypoint-1"],
    ["%STREAM_ID%", "id-1"],
    ["%START_TIME%", "2026-01-02T03:04:05.067Z"],
    ["%START_TIME(%Y/%m/%d %H:%M:%S)%", "2026/01/02 03:04:05"],
    ["%START_TIME(%s.%3f)%", "1767323045.067"],
    ["%START_TIME(%F %T %E3S %E1S %f)%", "2026-01-02 03:04:05 05.067 05.0 067000000"],
    ["%START_TIME(%q %3Y %ES %%)%", "%q %3Y 05.067 %"],
  ])("%s is %s", (text, expected) => {
    expect(formatted(text)).toBe(expected);
  });

  it.each([
    ["an unknown command", "%NOTHING%"],
    ["a lone percent", "50% off"],
    ["a percent at the end", "50%"],
    ["a command without its argument", "%REQ%"],
    ["an empty argument", "%REQ()%"],
    ["an argument where none belongs", "%PROTOCOL(x)%"],
    ["lower case", "%req(x)%"],
    ["a line end", "a\r\nx: y"],
    ["a NUL", "a\0"],
    ["more than the bound", "a".repeat(20_000)],
    ["too many commands", "%PROTOCOL%".repeat(65)],
  ])("refuses %s", (_, text) => {
    expect(parseHeaderFormat(text).ok).toBe(false);
  });

  it("is not there when it is empty", () => {
    expect(formatted("%REQ(x-none)%")).toBeUndefined();
    expect(formatted("")).toBeUndefined();
    expect(formatted("%RESP(x-b)%%RESPONSE_CODE%", { response: undefined })).toBeUndefined();
  });

  it("case 41: cannot end a header, whatever a claim holds", () => {
    const claims = { sub: "a\r\nx-admin: 1\0\u007f" };
    expect(formatted("%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:sub)%", { claims })).toBe("a  x-admin: 1");
  });

  it("writes text outside of Latin-1 as UTF-8 bytes", () => {
    expect(formatted("é")).toBe("\u00c3\u00a9");
    expect(formatted("%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:sub)%", { claims: { sub: "€" } })).toBe(
      "\u00e2\u0082\u00ac",
    );
  });

  it("is bounded, however long the headers it copies", () => {
    const request = [["x-a", "b".repeat(60_000)]] as const;
    expect(formatted("%REQ(x-a)%%REQ(x-a)%", { request })).toHaveLength(16_384);
  });

  it("case 41: never gives a control character, a NUL or a line end", () => {
    const any = fc.string({ unit: "binary" });
    fc.assert(
      fc.property(any, any, (text, value) => {
        const format = parseHeaderFormat(text);
        if (!format.ok) return;
        const result = formatHeader([...format.value, { command: "REQ", argument: "x" }], () => value);
        expect(result ?? "").not.toMatch(/[^\t\x20-\x7e\x80-\xff]/);
      }),
    );
  });

  it("reads back what it was told to take literally", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme-ascii", maxLength: 50 }), (text) => {
        expect(formatted(`<${text.replaceAll("%", "%%")}>`)).toBe(`<${text}>`);
      }),
    );
  });
});
