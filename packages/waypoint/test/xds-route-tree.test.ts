/** `VirtualHost.matcher`: routes chosen by what the tunnel proved, as Envoy reads them. */
import { RouteConfigurationSchema } from "@ambit/envoy-api/envoy/config/route/v3/route";
import { RouteListSchema, RouteSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import {
  DestinationPortInputSchema,
  FilterStateInputSchema,
} from "@ambit/envoy-api/envoy/extensions/matching/common_inputs/network/v3/network_inputs";
import { createRegistry, fromJson, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "@jest/globals";
import { matchRoute } from "../src/route/match-route.ts";
import type { RouteTable } from "../src/route/model.ts";
import { createModelCompiler, LISTENER_TYPE_URL, ROUTE_TYPE_URL } from "../src/xds/index.ts";
import { buildRequest } from "./route-builders.ts";
import { mainListener, rdsChain } from "./xds-builders.ts";

const registry = createRegistry(RouteListSchema, RouteSchema, FilterStateInputSchema, DestinationPortInputSchema);
const CHAIN = "inbound-vip|80|http|cart.shop.svc.cluster.local";
const PEER = "io.istio.peer_principal";

function compile(matcher: JsonObject, more: JsonObject = {}): { readonly table: RouteTable; readonly reason: string } {
  const compiler = createModelCompiler();
  compiler.apply(LISTENER_TYPE_URL, [mainListener(undefined, rdsChain(CHAIN, "r"))], []);
  const json = { name: "r", virtualHosts: [{ name: "v", domains: ["*"], matcher, ...more }] };
  const bytes = toBinary(RouteConfigurationSchema, fromJson(RouteConfigurationSchema, json, { registry }));
  const { rejected } = compiler.apply(ROUTE_TYPE_URL, [{ name: "r", bytes }], []);
  const chain = compiler.model.chains.get(CHAIN);
  if (chain?.kind !== "http") throw new Error("expected the chain");
  return { table: chain.routes, reason: rejected[0]?.reason ?? "" };
}

const route = (name: string, prefix = "/") => ({ name, match: { prefix }, route: { cluster: name } });
const typed = (type: string, fields: JsonObject) => ({
  typedConfig: { "@type": `type.googleapis.com/${type}`, ...fields },
});
const list = (...routes: JsonObject[]) => ({
  action: { name: "x", ...typed(RouteListSchema.typeName, { routes }) },
});
const input = (key = PEER) => ({ name: "i", ...typed(FilterStateInputSchema.typeName, { key }) });
const tree = (kind: "exactMatchMap" | "prefixMatchMap", map: JsonObject, onNoMatch?: JsonObject): JsonObject => ({
  matcherTree: { input: input(), [kind]: { map } },
  ...(onNoMatch && { onNoMatch }),
});
const cases = (...matchers: JsonObject[]): JsonObject => ({
  matcherList: { matchers },
  onNoMatch: list(route("else")),
});
const one = (valueMatch: JsonObject, key?: string) => ({ singlePredicate: { input: input(key), valueMatch } });

/** Name of the route that a request of a peer takes. */
function taken(matcher: JsonObject, namespace: string, path = "/"): string | undefined {
  const { table, reason } = compile(matcher);
  expect(reason).toBe("");
  const tunnel = { peerPrincipal: `spiffe://cluster.local/ns/${namespace}/sa/a`, authorityText: "10.0.0.1:80" };
  const verdict = matchRoute(table, buildRequest({ path, tunnel }), () => 0);
  return verdict.kind === "matched" ? verdict.route.name : undefined;
}

describe("a tree of routes", () => {
  const byNamespace = tree(
    "prefixMatchMap",
    {
      "spiffe://cluster.local/ns/bank/": list(route("bank", "/b"), route("bank-2", "/c")),
      "spiffe://cluster.local/ns/bank/sa/a": list(route("account", "/a")),
    },
    list(route("else")),
  );

  it("has the routes of the longest prefix, and no others", () => {
    expect(taken(byNamespace, "bank", "/a")).toBe("account");
    expect(taken(byNamespace, "bank", "/b")).toBeUndefined();
    expect(taken(byNamespace, "other", "/b")).toBe("else");
  });

  it("takes a namespace for itself only, not for one that begins alike", () => {
    expect(taken(byNamespace, "bank2")).toBe("else");
    expect(taken(byNamespace, "ban")).toBe("else");
  });

  it("does not look at headers", () => {
    const { table } = compile(byNamespace);
    const headers = [
      ["x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/bank/sa/a"],
      ["io.istio.peer_principal", "spiffe://cluster.local/ns/bank/sa/a"],
    ] as const;
    const tunnel = { peerPrincipal: "spiffe://cluster.local/ns/app/sa/a", authorityText: "10.0.0.1:80" };
    expect(matchRoute(table, buildRequest({ headers, tunnel }), () => 0)).toMatchObject({ route: { name: "else" } });
  });

  it("may be by the whole text, nested, and without an else", () => {
    const exact = tree("exactMatchMap", { "spiffe://cluster.local/ns/bank/sa/a": { matcher: byNamespace } });
    expect(taken(exact, "bank", "/a")).toBe("account");
    expect(taken(exact, "other")).toBeUndefined();
  });

  it("goes on with what matches less when a branch has no answer", () => {
    const nothing = { matcher: tree("exactMatchMap", { none: list(route("never")) }) };
    const map = { "spiffe://cluster.local/ns/bank/": nothing, "spiffe://": list(route("mesh")) };
    expect(taken(tree("prefixMatchMap", map, list(route("else"))), "bank")).toBe("mesh");
    expect(
      taken(tree("exactMatchMap", { "spiffe://cluster.local/ns/bank/sa/a": nothing }, list(route("e"))), "bank"),
    ).toBe("e");
  });

  it.each<[string, JsonObject, string, string]>([
    ["exact", one({ exact: "spiffe://cluster.local/ns/bank/sa/a" }), "bank", "other"],
    ["prefix", one({ prefix: "spiffe://cluster.local/ns/bank/" }), "bank", "bank2"],
    ["suffix, ignoring case", one({ suffix: "/NS/BANK/SA/A", ignoreCase: true }), "bank", "bank2"],
    ["contains", one({ contains: "/ns/bank/" }), "bank", "bank2"],
    ["a pattern of the whole", one({ safeRegex: { regex: "spiffe://[^/]+/ns/(bank|shop)/.*" } }), "shop", "bank2"],
    ["not", { notMatcher: one({ contains: "/ns/other/" }) }, "bank", "other"],
    ["or", { orMatcher: { predicate: [one({ contains: "/ns/b" }), one({ contains: "/ns/c" })] } }, "c", "d"],
    ["and", { andMatcher: { predicate: [one({ contains: "/ns/b" }), one({ suffix: "/sa/a" })] } }, "b", "d"],
    [
      "the authority too",
      {
        andMatcher: {
          predicate: [one({ exact: "10.0.0.1:80" }, "io.istio.connect_authority"), one({ contains: "/ns/b" })],
        },
      },
      "b",
      "c",
    ],
  ])("may be a list of predicates: %s", (_, predicate, yes, no) => {
    const matcher = cases({ predicate, onMatch: list(route("yes")) });
    expect([taken(matcher, yes), taken(matcher, no)]).toEqual(["yes", "else"]);
  });

  it("takes one route as an action, too", () => {
    const single = { action: { name: "x", ...typed(RouteSchema.typeName, route("one", "/x")) } };
    const matcher = tree("exactMatchMap", { "spiffe://cluster.local/ns/bank/sa/a": single });
    expect([taken(matcher, "bank", "/x"), taken(matcher, "bank", "/y")]).toEqual(["one", undefined]);
  });

  it("case 35: takes no expression that backtracks", () => {
    const matcher = cases({ predicate: one({ safeRegex: { regex: "(a)\\1" } }), onMatch: list(route("x")) });
    expect(compile(matcher).reason).toMatch(/regular expression/);
  });

  it.each<[string, JsonObject, RegExp]>([
    ["filter state nobody sets", { matcherTree: { input: input("x"), exactMatchMap: { map: {} } } }, /got "x"/],
    [
      "an input of another kind",
      { matcherTree: { input: { name: "i", ...typed(DestinationPortInputSchema.typeName, {}) } } },
      /FilterStateInput/,
    ],
    ["a tree without a map", { matcherTree: { input: input() } }, /exact_match_map/],
    ["an action that is no route", tree("exactMatchMap", { a: { action: input() } }), /RouteList/],
    ["nothing to do", tree("exactMatchMap", { a: {} }), /map\["a"\]: expected a matcher or an action/],
    ["no predicate", cases({ predicate: {}, onMatch: list() }), /expected a predicate/],
    [
      "a predicate of an extension",
      cases({ predicate: { singlePredicate: { input: input() } }, onMatch: list() }),
      /value_match/,
    ],
    ["an empty prefix", cases({ predicate: one({ prefix: "" }), onMatch: list() }), /prefix/],
  ])("refuses %s", (_, matcher, reason) => {
    expect(compile(matcher).reason).toMatch(reason);
  });

  it("refuses to be too deep", () => {
    let matcher = tree("exactMatchMap", { a: list(route("x")) });
    for (let level = 0; level < 8; level++) matcher = tree("exactMatchMap", { a: { matcher } });
    expect(compile(matcher).reason).toMatch(/at most 8 levels/);
  });

  it("refuses to stand beside routes", () => {
    expect(compile({}, { routes: [route("x")] }).reason).toMatch(/matcher: expected none beside routes/);
  });
});
