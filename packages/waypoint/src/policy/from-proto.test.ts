import { RBACSchema as HttpRbacSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { RBACSchema as NetworkRbacSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac";
import { ipOf } from "@ambit/shared/net";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { describe, expect, it } from "@jest/globals";
import {
  ANY,
  authorization,
  claim,
  header,
  path,
  peer,
  request,
  rules,
  uriTemplate,
} from "../../test/policy-builders.ts";
import { evaluateHttp, evaluateTcp } from "./evaluate.ts";
import { customPoliciesFromProto, httpRulesFromProto, networkRulesFromProto } from "./from-proto.ts";
import type { PolicyAttributes } from "./model.ts";

const allows = (permission: JsonValue, attributes: PolicyAttributes): boolean =>
  evaluateHttp(authorization(rules("ALLOW", { a: { permissions: [permission] } })), attributes).kind === "permit";
const allowsSource = (principal: JsonValue, attributes: PolicyAttributes): boolean =>
  evaluateHttp(authorization(rules("ALLOW", { a: { principals: [principal] } })), attributes).kind === "permit";
const cidr = (addressPrefix: string, prefixLen: number): JsonValue => ({ addressPrefix, prefixLen });

describe("permissions", () => {
  it.each([
    ["a destination", { destinationIp: cidr("10.96.0.0", 12) }, request(), true],
    ["another destination", { destinationIp: cidr("10.97.0.0", 16) }, request(), false],
    [
      "an IPv6 destination",
      { destinationIp: cidr("fd00::", 8) },
      request({}, { destinationIp: ipOf("fd00::1") }),
      true,
    ],
    ["an IPv4-mapped range", { destinationIp: cidr("::ffff:10.96.0.0", 108) }, request(), true],
    [
      "a destination by name only",
      { destinationIp: cidr("0.0.0.0", 0) },
      request({}, { destinationIp: undefined }),
      false,
    ],
    ["a port range", { destinationPortRange: { start: 80, end: 81 } }, request(), true],
    ["the end of a port range", { destinationPortRange: { start: 79, end: 80 } }, request(), false],
    ["a server name", { requestedServerName: { suffix: ".shop" } }, request({}, { sni: "a.shop" }), true],
    ["a host in another case", header(":authority", { exact: "WEB.shop", ignoreCase: true }), request(), true],
    ["the host by its older name", header("Host", { exact: "web.shop" }), request(), true],
    ["a host with a port", header(":authority", { exact: "web.shop" }), request({ authority: "web.shop:80" }), false],
    ["a header that is there", { header: { name: "x", presentMatch: true } }, request({ extra: [["x", ""]] }), true],
    ["a header that is not", { header: { name: "x", presentMatch: false } }, request(), true],
    [
      "a missing header as empty",
      { header: { name: "x", stringMatch: { exact: "" }, treatMissingHeaderAsEmpty: true } },
      request(),
      true,
    ],
    [
      "a header, as it was written once",
      { header: { name: "X", prefixMatch: "a" } },
      request({ extra: [["x", "ab"]] }),
      true,
    ],
    ["text that is not ASCII", path({ exact: "/caf\u00e9" }), request({ path: "/caf\u00c3\u00a9" }), true],
  ] as [string, JsonValue, PolicyAttributes, boolean][])("%s", (_, permission, attributes, expected) => {
    expect(allows(permission, attributes)).toBe(expected);
  });
});

describe("principals", () => {
  const far = request({}, { sourceIp: ipOf("10.0.0.7"), remoteIp: ipOf("203.0.113.9") });
  it.each([
    ["the direct address", { directRemoteIp: cidr("10.0.0.0", 8) }, far, true],
    ["not the direct address", { directRemoteIp: cidr("203.0.113.0", 24) }, far, false],
    ["the client's address", { remoteIp: cidr("203.0.113.0", 24) }, far, true],
    ["the older name of the direct address", { sourceIp: cidr("10.0.0.0", 8) }, far, true],
    ["anybody who proved a name", { authenticated: {} }, far, true],
    ["nobody who proved a name", { authenticated: {} }, request({}, { peerPrincipal: undefined }), false],
    ["a name", { authenticated: { principalName: { suffix: "/sa/cart" } } }, far, true],
    ["a name by prefix", peer({ prefix: "spiffe://cluster.local/ns/shop/" }), far, true],
    ["a trust domain pattern", peer({ safeRegex: { regex: "spiffe://cluster\\.[^/]*/.*" } }), far, true],
    ["a path", { urlPath: { path: { exact: "/" } } }, far, true],
  ] as [string, JsonValue, PolicyAttributes, boolean][])("%s", (_, principal, attributes, expected) => {
    expect(allowsSource(principal, attributes)).toBe(expected);
  });
});

describe("claims", () => {
  const claims = {
    iss: "https://i/a",
    sub: "alice",
    groups: ["dev", "ops"],
    level: 3,
    on: true,
    none: null,
    a: { "b.c": "x" },
  };
  const by = (names: readonly string[], value: JsonValue): boolean =>
    allowsSource(claim(names, value), request({ claims }));
  const text = (exact: string): JsonValue => ({ stringMatch: { exact } });

  it.each([
    ["text", ["sub"], text("alice"), true],
    ["an element of a list", ["groups"], { listMatch: { oneOf: text("ops") } }, true],
    ["no element of a list", ["groups"], { listMatch: { oneOf: text("op") } }, false],
    ["text where a list is", ["groups"], text("dev"), false],
    [
      "a list or text",
      ["sub"],
      { orMatch: { valueMatchers: [{ listMatch: { oneOf: text("alice") } }, text("alice")] } },
      true,
    ],
    ["inside another", ["a", "b.c"], text("x"), true],
    ["inside text", ["sub", "length"], text("5"), false],
    ["inherited", ["constructor"], { presentMatch: true }, false],
    ["present", ["level"], { presentMatch: true }, true],
    ["absent", ["nothing"], { presentMatch: false }, true],
    ["a number", ["level"], { doubleMatch: { exact: 3 } }, true],
    ["a range", ["level"], { doubleMatch: { range: { start: 3, end: 4 } } }, true],
    ["a truth", ["on"], { boolMatch: true }, true],
    ["null", ["none"], { nullMatch: {} }, true],
    ["null where nothing is", ["nothing"], { nullMatch: {} }, false],
  ] as [string, string[], JsonValue, boolean][])("%s", (_, names, value, expected) => {
    expect(by(names, value)).toBe(expected);
  });

  it("are none without a token, whatever is asked", () => {
    expect(allowsSource(claim(["sub"], text("alice")), request())).toBe(false);
    expect(allowsSource({ notId: claim(["sub"], text("bob")) }, request())).toBe(false);
    expect(allowsSource({ notId: claim(["sub"], text("bob")) }, request({ claims }))).toBe(true);
    const inverted = { metadata: { ...(claim(["sub"], text("bob")) as { metadata: object }).metadata, invert: true } };
    expect(allowsSource(inverted, request({ claims }))).toBe(true);
    expect(allowsSource(inverted, request())).toBe(false);
  });
});

describe("path templates", () => {
  it.each([
    ["/foo/*", ["/foo/bar", "/foo/b%2Fr"], ["/foo", "/foo/", "/foo/a/b", "/fo/bar"]],
    ["/foo/{*}", ["/foo/bar"], ["/foo/"]],
    ["/foo/**", ["/foo/", "/foo/a/b"], ["/foo", "/fooo/"]],
    ["/foo/{**}/", ["/foo/bar/", "/foo//"], ["/foo/bar", "/foo/"]],
    ["/*/x/**", ["/a/x/", "/a/x/b/c"], ["/a/x", "//x/b", "/a/y/b"]],
    ["/a/{id}/b/{rest=**}", ["/a/1/b/2/3"], ["/a/1/c"]],
    ["/**/end", ["/a/b/end", "//end"], ["/end", "/a/b/ends"]],
    ["/plain", ["/plain"], ["/plain/", "/"]],
    ["/", ["/"], ["/a"]],
  ])("%s", (template, matching, different) => {
    for (const target of matching)
      expect([target, allows(uriTemplate(template), request({ path: target }))]).toEqual([target, true]);
    for (const target of different)
      expect([target, allows(uriTemplate(template), request({ path: target }))]).toEqual([target, false]);
  });

  it.each(["", "foo", "/a{*}", "/{**}/{*}", "/{**}/{**}", "/{a=b/*}", "/a*b", `/${"a".repeat(5000)}`])(
    "%p is none",
    (template) => {
      expect(() => rules("ALLOW", { a: { permissions: [uriTemplate(template)] } })).toThrow(/uri template/);
    },
  );
});

describe("what is not understood leaves nothing half enforced", () => {
  const policy = (permission: JsonValue, more: Readonly<Record<string, JsonValue>> = {}): JsonValue => ({
    rules: { policies: { p: { permissions: [permission], principals: [ANY], ...more } } },
  });
  const deep = (levels: number): JsonValue => (levels === 0 ? ANY : { notRule: deep(levels - 1) });

  it.each([
    ["a matcher tree", { matcher: {} }],
    ["a matcher tree in the shadow", { shadowMatcher: {} }],
    ["audit loggers", { rules: { auditLoggingOptions: {} } }],
    ["CEL", policy(ANY, { condition: {} })],
    ["checked CEL", policy(ANY, { checkedCondition: {} })],
    ["no permission", policy(ANY, { permissions: [] })],
    ["no principal", policy(ANY, { principals: [] })],
    ["a permission without a rule", policy({})],
    ["any: false", policy({ any: false })],
    ["an extension", policy({ matcher: { name: "x" } })],
    ["a template of another type", policy({ uriTemplate: { name: "x" } })],
    ["nothing to combine", policy({ andRules: {} })],
    ["too deep", policy(deep(40))],
    ["an address that is none", policy({ destinationIp: cidr("10.0.0", 8) })],
    ["an address range without length", policy({ destinationIp: { addressPrefix: "10.0.0.0" } })],
    ["an address range that is too long", policy({ destinationIp: cidr("10.0.0.0", 33) })],
    ["a port range of nothing", policy({ destinationPortRange: { start: 5, end: 5 } })],
    ["a string matcher of nothing", policy({ requestedServerName: {} })],
    ["an empty prefix", policy(path({ prefix: "" }))],
    ["a path matcher of nothing", policy({ urlPath: {} })],
    ["a pattern that is none", policy(path({ safeRegex: { regex: "(" } }))],
    ["a pattern of 5000 characters", policy(path({ safeRegex: { regex: "a".repeat(5000) } }))],
    ["a back-reference", policy(path({ safeRegex: { regex: "(a)\\1" } }))],
    ["a header without name", policy({ header: { presentMatch: true } })],
    ["a header range", policy({ header: { name: "x", rangeMatch: { start: "1", end: "2" } } })],
    [
      "another filter's metadata",
      policy({
        metadata: { filter: "envoy.filters.http.lua", path: [{ key: "payload" }], value: { presentMatch: true } },
      }),
    ],
    [
      "metadata beside the payload",
      policy({
        metadata: { filter: "envoy.filters.http.jwt_authn", path: [{ key: "header" }], value: { presentMatch: true } },
      }),
    ],
    ["a value matcher of nothing", policy(claim(["a"], {}))],
    ["an empty or", policy(claim(["a"], { orMatch: {} }))],
    ["other filter state", policy(ANY, { principals: [{ filterState: { key: "x", stringMatch: { exact: "a" } } }] })],
    ["a principal without an identifier", policy(ANY, { principals: [{}] })],
  ] as [string, JsonValue][])("%s", (_, json) => {
    expect(httpRulesFromProto(fromJson(HttpRbacSchema, json))).toMatchObject({ ok: false, error: expect.any(String) });
  });

  it("an action that is none", () => {
    const rbac = fromJson(HttpRbacSchema, { rules: { action: 7 } });
    expect(httpRulesFromProto(rbac)).toMatchObject({ ok: false });
  });
});

describe("both filters", () => {
  it("a network filter is read the same", () => {
    const json = {
      statPrefix: "tcp.",
      rules: { action: "DENY", policies: { p: { permissions: [ANY], principals: [ANY] } } },
    };
    const sets = networkRulesFromProto(fromJson(NetworkRbacSchema, json));
    if (!sets.ok) throw new TypeError(sets.error);
    expect(evaluateTcp({ custom: [], rules: sets.value }, { ...request(), http: undefined }).kind).toBe("refuse");
  });

  it("a filter that enforces and tries gives a set for each, with its own action", () => {
    const json = { rules: { action: "ALLOW" }, shadowRules: { action: "DENY" } };
    const sets = httpRulesFromProto(fromJson(HttpRbacSchema, json));
    expect(
      sets.ok && sets.value.map(({ action, enforced, dryRun }) => [action, enforced?.length, dryRun.length]),
    ).toEqual([
      ["allow", 0, 0],
      ["deny", undefined, 1],
    ]);
  });

  it("a pair's first filter needs shadow rules that are understood", () => {
    expect(customPoliciesFromProto(fromJson(HttpRbacSchema, {}), "x")).toMatchObject({ ok: false });
    expect(customPoliciesFromProto(fromJson(HttpRbacSchema, { shadowMatcher: {} }), "x")).toMatchObject({ ok: false });
    const broken = { shadowRules: { policies: { xp: { permissions: [{}], principals: [ANY] } } } };
    expect(customPoliciesFromProto(fromJson(HttpRbacSchema, broken), "x")).toMatchObject({ ok: false });
  });
});
