/** Route configurations as istiod writes them, field by field. */
import { RouteConfigurationSchema } from "@ambit/envoy-api/envoy/config/route/v3/route";
import { FilterConfigSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { CorsPolicySchema } from "@ambit/envoy-api/envoy/extensions/filters/http/cors/v3/cors";
import { HTTPFaultSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/fault/v3/fault";
import { RBACPerRouteSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { createRegistry, fromJson, type JsonObject, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "@jest/globals";
import type { ForwardAction, Route, RouteTable } from "../src/route/model.ts";
import { createModelCompiler, LISTENER_TYPE_URL, ROUTE_TYPE_URL } from "../src/xds/index.ts";
import { mainListener, rdsChain } from "./xds-builders.ts";

const registry = createRegistry(CorsPolicySchema, HTTPFaultSchema, RBACPerRouteSchema, FilterConfigSchema);
const CHAIN = "inbound-vip|80|http|cart.shop.svc.cluster.local";

interface Outcome {
  readonly table: RouteTable;
  readonly reason: string | undefined;
  readonly notes: readonly string[];
}

function compileTable(json: JsonObject): Outcome {
  const compiler = createModelCompiler();
  compiler.apply(LISTENER_TYPE_URL, [mainListener(undefined, rdsChain(CHAIN, "r"))], []);
  const bytes = toBinary(
    RouteConfigurationSchema,
    fromJson(RouteConfigurationSchema, { name: "r", ...json }, { registry }),
  );
  const { rejected, notes } = compiler.apply(ROUTE_TYPE_URL, [{ name: "r", bytes }], []);
  const chain = compiler.model.chains.get(CHAIN);
  if (chain?.kind !== "http") throw new Error("expected the chain");
  return { table: chain.routes, reason: rejected[0]?.reason, notes };
}

const host = (route: JsonValue, more: JsonObject = {}): JsonObject => ({
  virtualHosts: [{ name: "v", domains: ["*"], routes: [route], ...more }],
});

/** The one route, compiled; what is given is merged over a plain one. */
function compileRoute(route: JsonObject, more: JsonObject = {}): Route {
  const { table, reason } = compileTable(host({ match: { prefix: "/" }, route: { cluster: "c" }, ...route }, more));
  const compiled = table.virtualHosts[0]?.routes[0];
  if (reason !== undefined || !compiled) throw new Error(reason);
  return compiled;
}
const compileAction = (action: JsonObject): ForwardAction =>
  compileRoute({ route: { cluster: "c", ...action } }).action as ForwardAction;
const reasonOf = (route: JsonObject, more: JsonObject = {}): string | undefined =>
  compileTable(host({ match: { prefix: "/" }, route: { cluster: "c" }, ...route }, more)).reason;

describe("matches", () => {
  it.each<[JsonObject, object]>([
    [
      { prefix: "/a", caseSensitive: false },
      { kind: "prefix", prefix: "/a", ignoreCase: true },
    ],
    [{ prefix: "/a" }, { kind: "prefix", prefix: "/a", ignoreCase: false }],
    [{ path: "/a" }, { kind: "exact", path: "/a", ignoreCase: false }],
    [{ pathSeparatedPrefix: "/a" }, { kind: "segments", prefix: "/a", ignoreCase: false }],
    [{ safeRegex: { regex: "/a.*" } }, { kind: "pattern", matcher: { source: 'regex "/a.*"' } }],
  ])("%j", (match, expected) => {
    expect(compileRoute({ match }).match.path).toMatchObject(expected);
  });

  it.each<[string, JsonObject]>([
    ["no path", {}],
    ["CONNECT", { connectMatcher: {} }],
    ["segments with a slash behind", { pathSeparatedPrefix: "/a/" }],
    ["the root as segments", { pathSeparatedPrefix: "/" }],
    ["segments with a query", { pathSeparatedPrefix: "/a?b" }],
    ["a broken expression", { safeRegex: { regex: "[" } }],
    ["TLS of the caller", { prefix: "/", tlsContext: {} }],
    ["a header without name", { prefix: "/", headers: [{ name: "" }] }],
    ["a header with an extension", { prefix: "/", headers: [{ name: "x", stringMatch: {} }] }],
    ["a parameter without name", { prefix: "/", queryParameters: [{ name: "" }] }],
    [
      "another filter's metadata",
      {
        prefix: "/",
        dynamicMetadata: [{ filter: "x", path: [{ key: "payload" }, { key: "a" }], value: { presentMatch: true } }],
      },
    ],
    [
      "a claim's number",
      {
        prefix: "/",
        dynamicMetadata: [
          {
            filter: "envoy.filters.http.jwt_authn",
            path: [{ key: "payload" }, { key: "a" }],
            value: { doubleMatch: { exact: 1 } },
          },
        ],
      },
    ],
  ])("refuses %s", (_, match) => {
    expect(reasonOf({ match })).toMatch(/^virtual_hosts\[0\]\.routes\[0\]\.match/);
  });

  it("wants a match", () => {
    expect(compileTable(host({ route: { cluster: "c" } })).reason).toMatch(/expected a match/);
  });

  it.each<[JsonObject, string, boolean]>([
    [{ name: "x" }, "anything", true],
    [{ name: "x", presentMatch: false }, "anything", false],
    [{ name: "x", exactMatch: "a" }, "a", true],
    [{ name: "x", prefixMatch: "a" }, "ab", true],
    [{ name: "x", suffixMatch: "b" }, "ab", true],
    [{ name: "x", containsMatch: "b" }, "abc", true],
    [{ name: "x", safeRegexMatch: { regex: "a+" } }, "aa", true],
    [{ name: "x", rangeMatch: { start: "1", end: "10" } }, "9", true],
    [{ name: "x", rangeMatch: { start: "1", end: "10" } }, "10", false],
    [{ name: "x", rangeMatch: { start: "1", end: "10" } }, "5x", false],
    [{ name: "x", stringMatch: { exact: "A", ignoreCase: true } }, "a", true],
    [{ name: "x", stringMatch: { exact: "a" }, invertMatch: true }, "a", false],
    [{ name: "x", stringMatch: { exact: "é" } }, "\u00c3\u00a9", true],
  ])("header %j and %j: %s", (header, value, expected) => {
    const [matcher] = compileRoute({ match: { prefix: "/", headers: [header] } }).match.headers;
    expect(matcher?.matches([["x", value]])).toBe(expected);
  });

  it("refuses fields it does not know: they would narrow what matches", () => {
    const message = fromJson(RouteConfigurationSchema, {
      name: "r",
      ...host({ match: { prefix: "/" }, route: { cluster: "c" } }),
    });
    const match = message.virtualHosts[0]?.routes[0]?.match;
    if (match) match.$unknown = [{ no: 99, wireType: WireType.Varint, data: Uint8Array.of(1) }];
    const bytes = toBinary(RouteConfigurationSchema, message);
    const { rejected } = createModelCompiler().apply(ROUTE_TYPE_URL, [{ name: "r", bytes }], []);
    expect(rejected[0]?.reason).toMatch(/match: expected fields that are known, got number 99/);
  });

  it("knows gRPC by its content type", () => {
    const [matcher] = compileRoute({ match: { prefix: "/", grpc: {} } }).match.headers;
    const takes = (type: string) => matcher?.matches([["content-type", type]]);
    expect(["application/grpc", "application/grpc+proto", "application/grpc-web", "text/plain"].map(takes)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it("has parameters, claims and fractions", () => {
    const claim = (value: JsonValue) => ({
      filter: "envoy.filters.http.jwt_authn",
      path: [{ key: "payload" }, { key: "groups" }],
      value,
      invert: true,
    });
    const { match } = compileRoute({
      match: {
        prefix: "/",
        queryParameters: [
          { name: "a", presentMatch: true },
          { name: "b", stringMatch: { exact: "1" } },
        ],
        dynamicMetadata: [
          claim({
            orMatch: {
              valueMatchers: [
                { stringMatch: { exact: "x" } },
                { listMatch: { oneOf: { stringMatch: { exact: "y" } } } },
              ],
            },
          }),
          claim({ presentMatch: true }),
        ],
        runtimeFraction: { defaultValue: { numerator: 5, denominator: "TEN_THOUSAND" } },
      },
    });
    expect(match.query.map(({ name, value }) => [name, value?.source])).toEqual([
      ["a", undefined],
      ["b", 'exact "1"'],
    ]);
    const [either, present] = match.claims;
    expect([either?.path, either?.invert]).toEqual([["groups"], true]);
    expect(["x", "y", "z"].map((text) => either?.value.matches(text))).toEqual([true, true, false]);
    expect(present?.value.matches("any")).toBe(true);
    expect(match.fractionPerMillion).toBe(500);
  });
});

describe("forwarding", () => {
  it("has Envoy's defaults", () => {
    expect(compileAction({})).toMatchObject({
      clusters: [{ name: "c", weight: 1 }],
      missingClusterStatus: 503,
      timeoutMs: 15_000,
      maximumGrpcTimeoutMs: undefined,
      retry: undefined,
      rewrite: { prefix: undefined, pattern: undefined, host: undefined, appendsForwardedHost: false },
      mirrors: [],
      hashPolicies: [],
    });
  });

  it("never sends to a cluster of weight 0", () => {
    const clusters = [
      { name: "a", weight: 999 },
      { name: "b", weight: 1, hostRewriteLiteral: "b.example" },
      { name: "c", weight: 0 },
    ];
    const { action } = compileRoute({ route: { weightedClusters: { clusters } } });
    expect(
      (action as ForwardAction).clusters.map(({ name, weight, hostRewrite }) => [name, weight, hostRewrite]),
    ).toEqual([
      ["a", 999, undefined],
      ["b", 1, "b.example"],
    ]);
  });

  it("has deadlines, statuses and rewrites", () => {
    const action = compileAction({
      timeout: "0.5s",
      maxStreamDuration: { grpcTimeoutHeaderMax: "2s" },
      clusterNotFoundResponseCode: "NOT_FOUND",
      prefixRewrite: "/new",
      hostRewriteLiteral: "Api.Example:8080",
      appendXForwardedHost: true,
    });
    expect(action).toMatchObject({
      timeoutMs: 500,
      maximumGrpcTimeoutMs: 2000,
      missingClusterStatus: 404,
      rewrite: { prefix: "/new", host: "Api.Example:8080", appendsForwardedHost: true },
    });
    const pattern = compileAction({ regexRewrite: { pattern: { regex: "^/a(/?)(.*)" }, substitution: "/\\2" } }).rewrite
      .pattern;
    expect(pattern?.replace("/a/b")).toBe("/b");
  });

  it("mirrors a fraction, all by default, and nothing at 0", () => {
    const policies = [
      { cluster: "all" },
      { cluster: "some", runtimeFraction: { defaultValue: { numerator: 25 } } },
      { cluster: "none", runtimeFraction: { defaultValue: { numerator: 0 } } },
    ];
    expect(compileAction({ requestMirrorPolicies: policies }).mirrors).toEqual([
      { cluster: "all", fractionPerMillion: 1_000_000 },
      { cluster: "some", fractionPerMillion: 250_000 },
    ]);
  });

  it("takes mirrors and retries of the virtual host where the route has none", () => {
    const more = { retryPolicy: { retryOn: "5xx", numRetries: 4 }, requestMirrorPolicies: [{ cluster: "m" }] };
    expect(compileRoute({}, more).action).toMatchObject({ retry: { retries: 4 }, mirrors: [{ cluster: "m" }] });
  });

  it("hashes", () => {
    const hashPolicy = [
      { header: { headerName: "X-User" }, terminal: true },
      { cookie: { name: "sid", ttl: "60s", path: "/", attributes: [{ name: "SameSite", value: "Lax" }] } },
      { cookie: { name: "own" } },
      { connectionProperties: { sourceIp: true } },
      { connectionProperties: {} },
      { queryParameter: { name: "u" } },
      { filterState: { key: "x" } },
    ];
    expect(compileAction({ hashPolicy }).hashPolicies).toEqual([
      { kind: "header", name: "x-user", terminal: true },
      {
        kind: "cookie",
        name: "sid",
        ttlSeconds: 60,
        path: "/",
        attributes: [{ name: "SameSite", value: "Lax" }],
        terminal: false,
      },
      { kind: "cookie", name: "own", ttlSeconds: undefined, path: "", attributes: [], terminal: false },
      { kind: "source-ip", terminal: false },
      { kind: "query", name: "u", terminal: false },
    ]);
  });

  it.each<[string, JsonObject]>([
    ["no cluster", { cluster: "" }],
    ["a cluster named by a header", { clusterHeader: "x" }],
    ["weights of nothing", { weightedClusters: { clusters: [{ name: "a", weight: 0 }] } }],
    ["a weighted cluster without name", { weightedClusters: { clusters: [{ weight: 1 }] } }],
    ["a subset", { cluster: "c", metadataMatch: {} }],
    [
      "a subset of a weighted cluster",
      { weightedClusters: { clusters: [{ name: "a", weight: 1, metadataMatch: {} }] } },
    ],
    ["a host from a header", { cluster: "c", hostRewriteHeader: "x" }],
    ["a host that is none", { cluster: "c", hostRewriteLiteral: "a b" }],
    ["a prefix with a line end", { cluster: "c", prefixRewrite: "/a\r\n" }],
    [
      "a substitution of a group that is not there",
      { cluster: "c", regexRewrite: { pattern: { regex: "a" }, substitution: "\\1" } },
    ],
    ["a negative timeout", { cluster: "c", timeout: "-1s" }],
    ["a mirror without cluster", { cluster: "c", requestMirrorPolicies: [{}] }],
    ["a cookie that would end its header", { cluster: "c", hashPolicy: [{ cookie: { name: "a;b" } }] }],
    ["a rewritten hash header", { cluster: "c", hashPolicy: [{ header: { headerName: "x", regexRewrite: {} } }] }],
    ["back-off of nothing", { cluster: "c", retryPolicy: { retryOn: "5xx", retryBackOff: {} } }],
    [
      "back-off that shrinks",
      { cluster: "c", retryPolicy: { retryBackOff: { baseInterval: "1s", maxInterval: "0.5s" } } },
    ],
  ])("refuses %s", (_, route) => {
    expect(reasonOf({ route })).toMatch(/^virtual_hosts\[0\]\.routes\[0\]\.route/);
  });

  it.each<[string, JsonObject, object]>([
    ["nothing", { retryOn: "" }, { retries: 1, conditions: new Set(), explicit: true, hostSelectionAttempts: 1 }],
    [
      "what is not known",
      { retryOn: "5xx, http3-post-connect-failure,reset" },
      { conditions: new Set(["5xx", "reset"]) },
    ],
    [
      "a back-off",
      { retryBackOff: { baseInterval: "0.1s", maxInterval: "0.3s" } },
      { backoff: { baseMs: 100, maximumMs: 300 } },
    ],
  ])("retries on %s", (_, retryPolicy, expected) => {
    expect(compileAction({ retryPolicy }).retry).toMatchObject(expected);
  });
});

describe("other actions", () => {
  const redirect = (action: JsonObject) => {
    const { table, reason } = compileTable(host({ match: { prefix: "/" }, redirect: action }));
    return reason ?? table.virtualHosts[0]?.routes[0]?.action;
  };

  it("redirects", () => {
    expect(redirect({})).toMatchObject({
      kind: "redirect",
      status: 301,
      scheme: undefined,
      host: undefined,
      port: undefined,
      path: undefined,
      stripsQuery: false,
    });
    expect(
      redirect({
        httpsRedirect: true,
        hostRedirect: "a.example",
        portRedirect: 8443,
        pathRedirect: "/x",
        responseCode: "PERMANENT_REDIRECT",
        stripQuery: true,
      }),
    ).toEqual({
      kind: "redirect",
      status: 308,
      scheme: "https",
      host: "a.example",
      port: 8443,
      path: { kind: "full", path: "/x" },
      stripsQuery: true,
    });
    expect(redirect({ schemeRedirect: "HTTPS", prefixRewrite: "/y", responseCode: "FOUND" })).toMatchObject({
      scheme: "https",
      status: 302,
      path: { kind: "prefix", prefix: "/y" },
    });
    expect(
      redirect({ httpsRedirect: false, regexRewrite: { pattern: { regex: "a" }, substitution: "b" } }),
    ).toMatchObject({ scheme: undefined, path: { kind: "pattern" } });
  });

  it.each<[string, JsonObject]>([
    ["a host with a line end", { hostRedirect: "a\r\nb" }],
    ["a path with a blank", { pathRedirect: "/a b" }],
    ["a port that is none", { portRedirect: 70_000 }],
    ["a scheme that is none", { schemeRedirect: "a b" }],
  ])("refuses to redirect to %s", (_, action) => {
    expect(redirect(action)).toMatch(/redirect/);
  });

  const direct = (action: JsonObject) => {
    const { table, reason } = compileTable(host({ match: { prefix: "/" }, directResponse: action }));
    return reason ?? table.virtualHosts[0]?.routes[0]?.action;
  };

  it("answers by itself", () => {
    expect(direct({ status: 418, body: { inlineString: "né" } })).toEqual({
      kind: "direct",
      status: 418,
      body: Buffer.from("né"),
    });
    expect(direct({ status: 200 })).toEqual({ kind: "direct", status: 200, body: Buffer.alloc(0) });
    expect(direct({ status: 200, body: { inlineBytes: "AAE=" } })).toMatchObject({ body: Buffer.from([0, 1]) });
    expect(direct({ status: 199 })).toMatch(/status/);
    expect(direct({ status: 200, body: { filename: "/etc/passwd" } })).toMatch(/body: expected inline/);
    expect(direct({ status: 200, body: { inlineString: "a".repeat(2 ** 20 + 1) } })).toMatch(/body: expected at most/);
  });

  it("answers 500 where there is no action, and refuses the ones that are for other proxies", () => {
    const { table, notes } = compileTable(host({ name: "r1", match: { prefix: "/" } }));
    expect(table.virtualHosts[0]?.routes[0]?.action).toMatchObject({ kind: "direct", status: 500 });
    expect(notes[0]).toMatch(/"r1" has no action/);
    expect(compileTable(host({ match: { prefix: "/" }, nonForwardingAction: {} })).reason).toMatch(
      /expected route, redirect/,
    );
  });
});

describe("headers", () => {
  const add = (key: string, value: string, more: JsonObject = {}) => ({ header: { key, value }, ...more });

  it("are set, appended and removed", () => {
    const { headers } = compileRoute({
      requestHeadersToAdd: [
        add("X-Set", "a", { appendAction: "OVERWRITE_IF_EXISTS_OR_ADD" }),
        add("x-append", "%PROTOCOL%"),
        add("x-older", "b", { append: false }),
      ],
      requestHeadersToRemove: ["X-Gone"],
      responseHeadersToAdd: [{ header: { key: "x-raw", rawValue: "w6k=" } }],
      responseHeadersToRemove: ["server"],
    });
    expect(headers).toEqual({
      request: {
        remove: ["x-gone"],
        set: [
          { name: "x-set", value: ["a"] },
          { name: "x-older", value: ["b"] },
        ],
        append: [{ name: "x-append", value: [{ command: "PROTOCOL", argument: undefined }] }],
      },
      response: { remove: ["server"], set: [], append: [{ name: "x-raw", value: ["\u00c3\u00a9"] }] },
    });
  });

  it.each<[string, JsonObject]>([
    ["a pseudo-header", add(":path", "/")],
    ["host", add("Host", "x")],
    ["the framing", add("Transfer-Encoding", "chunked")],
    ["the connection", add("connection", "close")],
    ["no name", add("", "x")],
    ["a name with a line end", add("a\r\nb", "x")],
    ["a value with a line end", add("a", "x\r\ny: z")],
    ["a command nobody knows", add("a", "%NOTHING%")],
    ["addition only if it is absent", add("a", "x", { appendAction: "ADD_IF_ABSENT" })],
    ["nothing", {}],
  ])("refuse %s", (_, header) => {
    expect(reasonOf({ requestHeadersToAdd: [header] })).toMatch(/request_headers_to_add\[0\]/);
  });

  it("of the table overrule those of the virtual host", () => {
    const { table } = compileTable({
      ...host(
        { match: { prefix: "/" }, route: { cluster: "c" } },
        { requestHeadersToAdd: [add("x-a", "inner"), add("x-b", "inner", { append: false }), add("x-c", "inner")] },
      ),
      requestHeadersToAdd: [add("x-b", "outer", { append: false })],
      requestHeadersToRemove: ["x-c"],
    });
    expect(table.virtualHosts[0]?.headers.request).toEqual({
      remove: ["x-c"],
      set: [{ name: "x-b", value: ["outer"] }],
      append: [{ name: "x-a", value: ["inner"] }],
    });
  });
});

describe("configuration of filters for a route", () => {
  const per = (type: string, config: JsonObject = {}) => ({ "@type": `type.googleapis.com/${type}`, ...config });
  const CORS = CorsPolicySchema.typeName;
  const FAULT = HTTPFaultSchema.typeName;
  const compile = (config: JsonObject) => compileRoute({ typedPerFilterConfig: { x: config } });

  it("is CORS", () => {
    const { cors } = compile(
      per(CORS, {
        allowOriginStringMatch: [{ exact: "https://a.example" }],
        allowMethods: "GET",
        allowHeaders: "x-a",
        exposeHeaders: "x-b",
        maxAge: "60",
        allowCredentials: true,
        forwardNotMatchingPreflights: false,
        filterEnabled: { defaultValue: { numerator: 100 } },
      }),
    );
    expect(cors).toMatchObject({
      allowMethods: "GET",
      allowHeaders: "x-a",
      exposeHeaders: "x-b",
      maxAge: "60",
      allowCredentials: true,
      forwardsUnmatchedPreflights: false,
    });
    expect(cors?.allowOrigins[0]?.matches("https://a.example")).toBe(true);
    expect(compile(per(CORS)).cors).toMatchObject({ allowCredentials: false, forwardsUnmatchedPreflights: true });
    expect(compile(per(CORS, { filterEnabled: { defaultValue: { numerator: 0 } } })).cors).toBeUndefined();
  });

  it("is a fault", () => {
    const delay = { fixedDelay: "5s", percentage: { numerator: 1000, denominator: "MILLION" } };
    expect(compile(per(FAULT, { delay, abort: { httpStatus: 418, percentage: { numerator: 50 } } })).fault).toEqual({
      delay: { ms: 5000, perMillion: 1000 },
      abort: { status: { kind: "http", code: 418 }, perMillion: 500_000 },
    });
    expect(compile(per(FAULT, { abort: { grpcStatus: 14 } })).fault).toEqual({
      delay: undefined,
      abort: { status: { kind: "grpc", code: 14 }, perMillion: 0 },
    });
    expect(compile(per(FAULT)).fault).toBeUndefined();
  });

  it("is the rules of the route", () => {
    const policy = { permissions: [{ any: true }], principals: [{ any: true }] };
    const rbac = { rbac: { rules: { action: "DENY", policies: { p: policy } } } };
    const { authorization } = compile(per(RBACPerRouteSchema.typeName, rbac));
    expect(authorization?.rules).toMatchObject([{ action: "deny", enforced: [{ name: "p" }] }]);
    expect(authorization?.replaced.size).toBe(1);
    expect(compile(per(RBACPerRouteSchema.typeName))).toMatchObject({ authorization: { rules: [] } });
  });

  it("may be wrapped, and is taken from the virtual host and the table where the route is silent", () => {
    const wrapped = per(FilterConfigSchema.typeName, { config: per(FAULT, { delay: { fixedDelay: "1s" } }) });
    expect(compile(wrapped).fault).toMatchObject({ delay: { ms: 1000 } });
    expect(compile(per(FilterConfigSchema.typeName)).fault).toBeUndefined();
    expect(compileRoute({}, { typedPerFilterConfig: { x: wrapped } }).fault).toMatchObject({ delay: { ms: 1000 } });
    const table = {
      ...host({ match: { prefix: "/" }, route: { cluster: "c" } }),
      typedPerFilterConfig: { x: wrapped },
    };
    expect(compileTable(table).table.virtualHosts[0]?.routes[0]?.fault).toMatchObject({ delay: { ms: 1000 } });
  });

  it.each<[string, JsonObject]>([
    ["a guard that is off", per(FilterConfigSchema.typeName, { disabled: true })],
    ["a delay by header", per(FAULT, { delay: { headerDelay: {} } })],
    ["an abort by header", per(FAULT, { abort: { headerAbort: {} } })],
    ["an abort with no status", per(FAULT, { abort: { httpStatus: 99 } })],
    ["a fault for some", per(FAULT, { upstreamCluster: "c" })],
    ["an origin that is no matcher", per(CORS, { allowOriginStringMatch: [{}] })],
    ["a header list with a line end", per(CORS, { allowHeaders: "a\nb" })],
    [
      "rules that are not known",
      per(RBACPerRouteSchema.typeName, { rbac: { rules: { policies: { p: { permissions: [], principals: [] } } } } }),
    ],
  ])("refuses %s", (_, config) => {
    expect(reasonOf({ typedPerFilterConfig: { x: config } })).toMatch(/typed_per_filter_config\["x"\]/);
  });

  it("refuses any for one of several clusters", () => {
    const clusters = [{ name: "a", weight: 1, typedPerFilterConfig: { x: per(CORS) } }];
    expect(reasonOf({ route: { weightedClusters: { clusters } } })).toMatch(/typed_per_filter_config/);
  });
});

describe("virtual hosts", () => {
  const plainRoute = { match: { prefix: "/" }, route: { cluster: "c" } };

  it("have domains in lower case, each once", () => {
    const { table } = compileTable({ virtualHosts: [{ name: "v", domains: ["Shop.Example", "*.Example", "api.*"] }] });
    expect(table.virtualHosts[0]?.domains).toEqual(["shop.example", "*.example", "api.*"]);
    expect(
      compileTable({
        virtualHosts: [
          { name: "a", domains: ["x"] },
          { name: "b", domains: ["X"] },
        ],
      }).reason,
    ).toMatch(/each domain once/);
    expect(compileTable({ virtualHosts: [{ name: "a", domains: ["a*b"] }] }).reason).toMatch(/domains\[0\]/);
  });

  it.each<[string, JsonObject, RegExp]>([
    ["a matcher tree", { matcher: {} }, /matcher/],
    ["TLS of the caller", { requireTls: "ALL" }, /require_tls/],
  ])("refuse %s", (_, more, reason) => {
    expect(compileTable(host(plainRoute, more)).reason).toMatch(reason);
  });

  it("note what has no effect", () => {
    expect(
      compileTable(
        host({ ...plainRoute, route: { cluster: "c", rateLimits: [{}], hedgePolicy: {} } }, { rateLimits: [{}] }),
      ).notes,
    ).toHaveLength(3);
  });

  it("note fields of the table, the virtual host and the route that others would act upon", () => {
    const route = {
      cluster: "c",
      idleTimeout: "3s",
      internalRedirectPolicy: {},
      maxStreamDuration: { maxStreamDuration: "9s" },
    };
    const table = host({ ...plainRoute, route }, { includeRequestAttemptCount: true });
    expect(compileTable({ ...table, internalOnlyHeaders: ["x"] }).notes.toSorted()).toEqual([
      "idle_timeout of a route has no effect",
      "include_request_attempt_count of a virtual host has no effect",
      "internal_only_headers of a route configuration has no effect",
      "internal_redirect_policy of a route has no effect",
      "max_stream_duration of a route has no effect",
    ]);
  });
});
