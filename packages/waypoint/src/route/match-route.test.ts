import { describe, expect, it } from "@jest/globals";
import {
  buildForward,
  buildMatch,
  buildRequest,
  buildRoute,
  buildTable,
  buildVirtualHost,
} from "../../test/route-builders.ts";
import { findVirtualHost, matchesPath, matchRoute, parseQuery, pickWeighted } from "./match-route.ts";
import { headerMatcher, type StringSpec, stringMatcher } from "./matcher.ts";
import type { PathMatch, RoutedRequest, RouteMatch } from "./model.ts";

const text = (spec: StringSpec) => {
  const matcher = stringMatcher(spec);
  if (!matcher.ok) throw new Error(matcher.error);
  return matcher.value;
};
const exact = (value: string) => text({ kind: "exact", text: value });
const never = () => {
  throw new Error("nothing is drawn for this request");
};

/** Name of the route that takes a request, with a catch-all behind the one under test. */
const routed = (match: Partial<RouteMatch>, request: Partial<RoutedRequest>, random: () => number = never) => {
  const routes = [buildRoute({ name: "first", match: buildMatch(match) }), buildRoute({ name: "rest" })];
  const verdict = matchRoute(buildTable(buildVirtualHost({ routes })), buildRequest(request), random);
  return verdict.kind === "matched" ? verdict.route.name : undefined;
};
const once = () => 0;

describe("matchesPath", () => {
  const prefix = (value: string, ignoreCase = false): PathMatch => ({ kind: "prefix", prefix: value, ignoreCase });
  const segments = (value: string, ignoreCase = false): PathMatch => ({ kind: "segments", prefix: value, ignoreCase });
  it.each<[string, PathMatch, string, boolean]>([
    ["a prefix", prefix("/a"), "/ab", true],
    ["another prefix", prefix("/a"), "/b", false],
    ["a prefix in another case", prefix("/a"), "/A", false],
    ["a prefix ignoring case", prefix("/A", true), "/ab", true],
    ["segments: the prefix itself", segments("/v2"), "/v2", true],
    ["segments: with a slash", segments("/v2"), "/v2/", true],
    ["segments: below", segments("/v2"), "/v2/x", true],
    ["segments: not a longer name", segments("/v2"), "/v2example", false],
    ["segments: elsewhere", segments("/v2"), "/x/v2", false],
    ["segments ignoring case", segments("/V2", true), "/v2/x", true],
    ["exact", { kind: "exact", path: "/a", ignoreCase: false }, "/a", true],
    ["exact is all of it", { kind: "exact", path: "/a", ignoreCase: false }, "/a/", false],
    ["exact ignoring case", { kind: "exact", path: "/A", ignoreCase: true }, "/a", true],
    ["a pattern", { kind: "pattern", matcher: text({ kind: "pattern", pattern: "/a/\\d+" }) }, "/a/12", true],
    ["a pattern is all of it", { kind: "pattern", matcher: text({ kind: "pattern", pattern: "/a" }) }, "/a/b", false],
  ])("%s", (_, match, path, expected) => {
    expect(matchesPath(match, path)).toBe(expected);
  });
});

describe("matchRoute", () => {
  it("takes the first route that matches", () => {
    expect(routed({}, {}, once)).toBe("first");
    expect(routed({ path: { kind: "exact", path: "/x", ignoreCase: false } }, {}, once)).toBe("rest");
  });

  it("compares headers, the pseudo-headers among them", () => {
    const headers = [
      headerMatcher({ name: ":method", value: exact("POST") }),
      headerMatcher({ name: "x-a", value: exact("1") }),
    ];
    expect(routed({ headers }, { method: "POST", headers: [["x-a", "1"]] }, once)).toBe("first");
    expect(routed({ headers }, { method: "GET", headers: [["x-a", "1"]] }, once)).toBe("rest");
  });

  it("shows header matchers the path with its query", () => {
    const headers = [headerMatcher({ name: ":path", value: exact("/p?q=1") })];
    expect(routed({ headers }, { path: "/p", query: "q=1" }, once)).toBe("first");
    expect(routed({ headers }, { path: "/p" }, once)).toBe("rest");
  });

  it.each([
    ["a value", { name: "q", value: exact("1") }, "a=0&q=1", "first"],
    ["another value", { name: "q", value: exact("1") }, "q=2", "rest"],
    ["the first of a repeated one", { name: "q", value: exact("1") }, "q=2&q=1", "rest"],
    ["presence", { name: "q", value: undefined }, "q", "first"],
    ["absence", { name: "q", value: undefined }, "p=q", "rest"],
    ["nothing at all", { name: "q", value: undefined }, "", "rest"],
  ])("compares query parameters: %s", (_, parameter, query, expected) => {
    expect(routed({ query: [parameter] }, { query }, once)).toBe(expected);
  });

  it.each<[string, boolean, RoutedRequest["claims"], string]>([
    ["a text", false, { groups: "admin" }, "first"],
    ["an element of a list", false, { groups: ["dev", "admin"] }, "first"],
    ["another text", false, { groups: "dev" }, "rest"],
    ["no token", false, undefined, "rest"],
    ["inverted, another text", true, { groups: "dev" }, "first"],
    ["inverted, the text", true, { groups: "admin" }, "rest"],
    ["inverted, no token", true, undefined, "first"],
  ])("compares claims: %s", (_, invert, claims, expected) => {
    expect(routed({ claims: [{ path: ["groups"], value: exact("admin"), invert }] }, { claims }, once)).toBe(expected);
  });

  it("lets a share of the requests match", () => {
    expect(routed({ fractionPerMillion: 250_000 }, {}, () => 0.2499)).toBe("first");
    expect(routed({ fractionPerMillion: 250_000 }, {}, () => 0.25)).toBe("rest");
    expect(routed({ fractionPerMillion: 0 }, {}, once)).toBe("rest");
  });

  it("draws no cluster for a route that does not forward", () => {
    const action = { kind: "direct", status: 200, body: Buffer.alloc(0) } as const;
    const table = buildTable(buildVirtualHost({ routes: [buildRoute({ action })] }));
    expect(matchRoute(table, buildRequest(), never)).toMatchObject({ kind: "matched", cluster: undefined });
  });

  it("says that no route and no virtual host matched", () => {
    const none = buildVirtualHost({ routes: [buildRoute({ match: buildMatch({ fractionPerMillion: 0 }) })] });
    expect(matchRoute(buildTable(none), buildRequest(), once)).toEqual({ kind: "unmatched", virtualHost: none });
    const other = buildVirtualHost({ domains: ["other"] });
    expect(matchRoute(buildTable(other), buildRequest(), once)).toEqual({ kind: "unmatched", virtualHost: undefined });
  });

  it("draws the cluster by weight", () => {
    const { clusters } = buildForward();
    const [one] = clusters;
    const weighted = [
      { ...one, name: "a", weight: 999 },
      { ...one, name: "b", weight: 1 },
    ] as typeof clusters;
    const table = buildTable(
      buildVirtualHost({ routes: [buildRoute({ action: buildForward({ clusters: weighted }) })] }),
    );
    expect(matchRoute(table, buildRequest(), () => 0.9989)).toMatchObject({ cluster: { name: "a" } });
    expect(matchRoute(table, buildRequest(), () => 0.9991)).toMatchObject({ cluster: { name: "b" } });
  });
});

describe("findVirtualHost", () => {
  const hosts = ["shop.example", "*.example", "*.deep.example", "api.*", "*", "v6:8080"].map((domain) =>
    buildVirtualHost({ name: domain, domains: [domain] }),
  );
  it.each([
    ["shop.example", "shop.example"],
    ["shop.example:8080", "shop.example"],
    ["x.example", "*.example"],
    ["a.b.example", "*.example"],
    ["x.deep.example", "*.deep.example"],
    ["example", "*"],
    [".example", "*"],
    ["api.test", "api.*"],
    ["api.", "*"],
    ["api.example", "*.example"],
    ["v6:8080", "v6:8080"],
    ["other", "*"],
    ["", "*"],
  ])("gives %s to %s", (authority, expected) => {
    expect(findVirtualHost(buildTable(...hosts), authority)?.name).toBe(expected);
    expect(findVirtualHost(buildTable(...hosts.toReversed()), authority)?.name).toBe(expected);
  });

  it("asks without the port when nothing has it", () => {
    expect(findVirtualHost(buildTable(buildVirtualHost({ domains: ["shop"] })), "shop:81")?.name).toBe("v");
    expect(findVirtualHost(buildTable(buildVirtualHost({ domains: ["shop"] })), "stop")).toBeUndefined();
    expect(findVirtualHost(buildTable(), "shop")).toBeUndefined();
  });
});

it("parseQuery takes the first of each name, undecoded, and no more than it must", () => {
  expect([...parseQuery("a=1&b&a=2&c=%20&=x&d=e=f")]).toEqual([
    ["a", "1"],
    ["b", ""],
    ["c", "%20"],
    ["", "x"],
    ["d", "e=f"],
  ]);
  expect(parseQuery(Array.from({ length: 5000 }, (_, index) => `k${index}`).join("&")).size).toBe(1000);
});

it("pickWeighted survives a draw at the very end, and nothing to pick", () => {
  expect(pickWeighted([{ weight: 0.1 }, { weight: 0.2 }, { weight: 0 }], () => 1)).toEqual({ weight: 0.2 });
  expect(pickWeighted([{ weight: 0 }], () => 0)).toBeUndefined();
  expect(pickWeighted([], () => 0)).toBeUndefined();
});
