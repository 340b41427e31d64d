/** How resources become models: what changes, what stays, what is refused. */
import { RBACSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import {
  ApplicationProtocolInputSchema,
  DestinationIPInputSchema,
  DestinationPortInputSchema,
  FilterStateInputSchema,
  SourceIPInputSchema,
} from "@ambit/envoy-api/envoy/extensions/matching/common_inputs/network/v3/network_inputs";
import {
  type Matcher_MatcherTreeSchema,
  type Matcher_OnMatchSchema,
  MatcherSchema,
} from "@ambit/envoy-api/xds/type/matcher/v3/matcher";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "@jest/globals";
import type { RouteModel } from "../src/model/route-model.ts";
import {
  CLUSTER_TYPE_URL,
  createModelCompiler,
  ENDPOINT_TYPE_URL,
  LISTENER_TYPE_URL,
  type ModelCompiler,
  ROUTE_TYPE_URL,
  type XdsResource,
} from "../src/xds/index.ts";
import {
  address,
  byAddress,
  byAuthority,
  byPort,
  byProtocol,
  type ChainInit,
  cluster,
  endpoints,
  hbone,
  hostname,
  httpChain,
  httpFilter,
  listener,
  mainListener,
  pack,
  plain,
  rdsChain,
  routeResource,
  struct,
  tcpChain,
  toChain,
  toCluster,
} from "./xds-builders.ts";

const CART = "inbound-vip|80|http|cart.shop.svc.cluster.local";
const CART_TCP = "inbound-vip|80|tcp|cart.shop.svc.cluster.local";
const toCart = httpChain(CART, [toCluster(CART)]);
const cartTree = byAddress({ addresses: ["10.0.0.1"], leadsTo: byPort({ "80": toChain(CART) }) });
const tcp = tcpChain(CART_TCP, { clusterSpecifier: { case: "cluster", value: CART_TCP } });

const cartAt = address("10.0.0.1", 80);
const badRoute = toCluster(CART, {
  match: { pathSpecifier: { case: "safeRegex", value: { regex: "(" } } },
});
type MatcherInit = MessageInitShape<typeof MatcherSchema>;
type TreeInit = MessageInitShape<typeof Matcher_MatcherTreeSchema>;
const tree = (value: object): MatcherInit => ({ matcherType: { case: "matcherTree", value: value as TreeInit } });
const map = (value: Record<string, MessageInitShape<typeof Matcher_OnMatchSchema>>): TreeInit => ({
  treeType: { case: "exactMatchMap", value: { map: value } },
});
const by = <Desc extends DescMessage>(schema: Desc, init?: MessageInitShape<Desc>) => ({
  name: "input",
  typedConfig: pack(schema, init ?? ({} as MessageInitShape<Desc>)),
});

/** A listener whose tree says `on_no_match` (3) `matcher` (1) so many times. */
function deepListener(depth: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let level = 0; level < depth * 2; level++) {
    const head = new BinaryWriter()
      .tag(level % 2 === 0 ? 1 : 3, WireType.LengthDelimited)
      .uint32(length)
      .finish();
    parts.push(head);
    length += head.length;
  }
  return Buffer.concat([
    new BinaryWriter().tag(32, WireType.LengthDelimited).uint32(length).finish(),
    ...parts.toReversed(),
  ]);
}

const listeners = (compiler: ModelCompiler, ...resources: XdsResource[]) =>
  compiler.apply(LISTENER_TYPE_URL, resources, []);
const main = (compiler: ModelCompiler, ...chains: ChainInit[]) =>
  listeners(compiler, mainListener(cartTree, ...chains));

describe("the model", () => {
  it("knows nothing at first", () => {
    const { model } = createModelCompiler();
    expect(model).toMatchObject({ generation: 1, clusters: new Map(), chains: new Map() });
    expect(model.findChains(cartAt)).toBeUndefined();
  });

  it("is told to whoever listens, once for each response that changes something", () => {
    const compiler = createModelCompiler();
    const models: RouteModel[] = [];
    const stop = compiler.onModel((model) => models.push(model));
    compiler.apply(CLUSTER_TYPE_URL, [cluster("a"), cluster("b")], []);
    compiler.apply(CLUSTER_TYPE_URL, [cluster("a"), cluster("b")], []);
    compiler.apply(CLUSTER_TYPE_URL, [], ["b"]);
    stop();
    compiler.apply(CLUSTER_TYPE_URL, [], ["a"]);
    expect(models.map(({ generation, clusters }) => [generation, [...clusters.keys()]])).toEqual([
      [2, ["a", "b"]],
      [3, ["a"]],
    ]);
  });

  it("keeps what did not change, and never touches what a request holds", () => {
    const compiler = createModelCompiler();
    compiler.apply(CLUSTER_TYPE_URL, [cluster("a"), cluster("b")], []);
    compiler.apply(ENDPOINT_TYPE_URL, [endpoints("a", hbone("10.1.0.1:80"))], []);
    main(compiler, toCart);
    const before = compiler.model;
    compiler.apply(ENDPOINT_TYPE_URL, [endpoints("b", hbone("10.1.0.2:80"))], []);
    main(compiler, toCart, tcp);
    const after = compiler.model;
    expect(after.clusters.get("a")).toBe(before.clusters.get("a"));
    expect(after.clusters.get("b")).not.toBe(before.clusters.get("b"));
    expect(after.chains.get(CART)).toBe(before.chains.get(CART));
    expect([before.chains.has(CART_TCP), after.chains.has(CART_TCP)]).toEqual([false, true]);
  });

  it("asks for the endpoints and routes that are referred to", () => {
    const compiler = createModelCompiler();
    const named = cluster("b", { edsClusterConfig: { serviceName: "b-endpoints" } });
    const fixed = cluster("c", { clusterDiscoveryType: { case: "type", value: 0 } });
    expect(compiler.apply(CLUSTER_TYPE_URL, [named, cluster("a"), fixed], []).wants.eds).toEqual(["a", "b-endpoints"]);
    expect(main(compiler, rdsChain(CART, "cart-routes")).wants).toEqual({
      eds: ["a", "b-endpoints"],
      rds: ["cart-routes"],
      secrets: [],
    });
    expect(compiler.apply(CLUSTER_TYPE_URL, [], ["a"]).wants).toMatchObject({
      eds: ["b-endpoints"],
      rds: ["cart-routes"],
    });
  });

  it("forgets the endpoints of a cluster that is gone", () => {
    const compiler = createModelCompiler();
    compiler.apply(ENDPOINT_TYPE_URL, [endpoints("a", hbone("10.1.0.1:80"))], []);
    compiler.apply(CLUSTER_TYPE_URL, [cluster("a")], []);
    expect(compiler.model.clusters.get("a")?.priorities).toHaveLength(1);
    compiler.apply(CLUSTER_TYPE_URL, [], ["a"]);
    compiler.apply(CLUSTER_TYPE_URL, [cluster("a")], []);
    expect(compiler.model.clusters.get("a")?.priorities).toEqual([]);
  });
});

describe("what a destination leads to", () => {
  it("offers both chains where the protocol is not declared", () => {
    const compiler = createModelCompiler();
    const addresses = byAddress({ addresses: ["10.0.0.1"], leadsTo: byPort({ "80": byProtocol(CART, CART_TCP) }) });
    listeners(compiler, mainListener(addresses, toCart, tcp));
    expect(compiler.model.findChains(cartAt)).toEqual({
      http: compiler.model.chains.get(CART),
      tcp: compiler.model.chains.get(CART_TCP),
    });
  });

  it("leads every port of an attached workload to the direct chains", () => {
    const compiler = createModelCompiler();
    const addresses = byAddress({
      addresses: ["10.1.0.0/16", "fd00::/64"],
      leadsTo: byProtocol("direct-http", "direct-tcp"),
    });
    const direct = tcpChain("direct-tcp", { clusterSpecifier: { case: "cluster", value: "encap" } });
    listeners(compiler, mainListener(addresses, httpChain("direct-http", [toCluster("encap")]), direct));
    const found = compiler.model.findChains(address("10.1.2.3", 4321));
    expect(found).toMatchObject({ http: { name: "direct-http", service: undefined }, tcp: { name: "direct-tcp" } });
    expect(compiler.model.findChains(address("fd00::5", 1))).toEqual(found);
    expect(compiler.model.findChains(address("10.2.0.1", 80))).toBeUndefined();
  });

  it("asks for the authority before the address, in any case", () => {
    const compiler = createModelCompiler();
    const addresses = byAuthority(
      { "Cart.shop.svc.cluster.local:80": toChain(CART), "10.0.0.1:80": toChain(CART_TCP) },
      cartTree,
    );
    listeners(compiler, mainListener(addresses, toCart, tcp));
    expect(compiler.model.findChains(hostname("cart.shop.svc.cluster.local", 80))?.http?.name).toBe(CART);
    expect(compiler.model.findChains(hostname("cart.shop.svc.cluster.local", 81))).toBeUndefined();
    expect(compiler.model.findChains(cartAt)?.tcp?.name).toBe(CART_TCP);
  });

  it("prefers the longer prefix, and goes on to the shorter unless that is excluded", () => {
    const compiler = createModelCompiler();
    const wide = { addresses: ["10.0.0.0/8"], leadsTo: byPort({ "81": toChain(CART_TCP), "80": toChain(CART_TCP) }) };
    const narrow = { addresses: ["10.0.0.1"], leadsTo: byPort({ "80": toChain(CART) }) };
    listeners(compiler, mainListener(byAddress(wide, narrow), toCart, tcp));
    expect(compiler.model.findChains(cartAt)?.http?.name).toBe(CART);
    expect(compiler.model.findChains(address("10.0.0.1", 81))?.tcp?.name).toBe(CART_TCP);
    listeners(compiler, mainListener(byAddress(wide, { ...narrow, exclusive: true }), toCart, tcp));
    expect(compiler.model.findChains(address("10.0.0.1", 81))).toBeUndefined();
  });

  it.each([
    [
      "a chain that is not there",
      byAddress({ addresses: ["10.0.0.1"], leadsTo: toChain("none") }),
      /expected a filter chain/,
    ],
    ["an address that is none", byAddress({ addresses: ["10.0.0"], leadsTo: toChain(CART) }), /ranges\[0\]/],
    ["an address that is empty", byAddress({ addresses: [""], leadsTo: toChain(CART) }), /ranges\[0\]/],
  ])("refuses a tree with %s, and keeps the one before", (_, tree, reason) => {
    const compiler = createModelCompiler();
    main(compiler, toCart);
    const before = compiler.model;
    const result = listeners(compiler, mainListener(tree, toCart));
    expect(result.rejected).toEqual([{ name: "main_internal", reason: expect.stringMatching(reason) }]);
    expect(compiler.model).toBe(before);
  });

  it.each<[string, MatcherInit, RegExp]>([
    ["no input", tree({}), /expected an input/],
    [
      "an input nobody knows",
      tree({ input: by(SourceIPInputSchema) }),
      /input: expected one that is supported, got .*SourceIPInput/,
    ],
    [
      "another key of the filter state",
      tree({ input: by(FilterStateInputSchema, { key: "io.istio.source" }) }),
      /expected the peer or the authority/,
    ],
    [
      "a prefix map",
      tree({ input: by(DestinationPortInputSchema), treeType: { case: "prefixMatchMap", value: {} } }),
      /expected an exact_match_map/,
    ],
    ["no map", tree({ input: by(DestinationPortInputSchema) }), /expected an exact_match_map, got none/],
    ["a map of addresses", tree({ input: by(DestinationIPInputSchema), ...map({}) }), /expected a custom_match/],
    [
      "no IP matcher",
      tree({ input: by(DestinationIPInputSchema), treeType: { case: "customMatch", value: {} } }),
      /expected an IP matcher/,
    ],
    [
      "a protocol that is not HTTP",
      tree({ input: by(ApplicationProtocolInputSchema), ...map({ "'h3'": toChain(CART) }) }),
      /a version of HTTP/,
    ],
    [
      "a tree below a protocol",
      tree({ input: by(ApplicationProtocolInputSchema), ...map({ "'h2c'": byPort({}) }) }),
      /expected an action/,
    ],
    [
      "two chains for HTTP",
      tree({
        input: by(ApplicationProtocolInputSchema),
        ...map({ "'h2c'": toChain(CART), "'http/1.1'": toChain(CART_TCP) }),
      }),
      /one chain for HTTP/,
    ],
    [
      "neither action nor matcher",
      tree({ input: by(DestinationPortInputSchema), ...map({ "80": {} }) }),
      /exact_match_map\["80"\]: expected a matcher or an action/,
    ],
    [
      "an action of nothing",
      tree({ input: by(DestinationPortInputSchema), ...map({ "80": { onMatch: { case: "action", value: {} } } }) }),
      /action: expected the name/,
    ],
    ["a list of predicates", { matcherType: { case: "matcherList", value: {} } }, /expected a matcher_tree/],
  ])("case 45: refuses a tree with %s", (_, matcher, reason) => {
    const { rejected } = listeners(createModelCompiler(), mainListener(create(MatcherSchema, matcher), toCart, tcp));
    expect(rejected[0]?.reason).toMatch(reason);
  });

  it("takes a tree that only says what to do without a match, and one of nothing", () => {
    const compiler = createModelCompiler();
    listeners(compiler, mainListener(create(MatcherSchema, { onNoMatch: toChain(CART) }), toCart));
    expect(compiler.model.findChains(hostname("any", 1))?.http?.name).toBe(CART);
    listeners(compiler, mainListener(create(MatcherSchema, {}), toCart));
    expect(compiler.model.findChains(cartAt)).toBeUndefined();
    listeners(
      compiler,
      mainListener(create(MatcherSchema, tree({ input: by(ApplicationProtocolInputSchema), ...map({}) })), toCart),
    );
    expect(compiler.model.findChains(cartAt)).toBeUndefined();
  });

  it("case 53: refuses a tree too deep to be read, and goes on", () => {
    const compiler = createModelCompiler();
    main(compiler, toCart);
    const before = compiler.model;
    const result = listeners(compiler, { name: "main_internal", bytes: deepListener(100_000) });
    expect(result.rejected).toHaveLength(1);
    expect(compiler.model).toBe(before);
  });

  it("refuses a tree that is deeper than any that makes sense", () => {
    let deep = cartTree;
    for (let level = 0; level < 10; level++) deep = byAuthority({}, deep);
    const { rejected } = listeners(createModelCompiler(), mainListener(deep, toCart));
    expect(rejected[0]?.reason).toMatch(/at most 8 levels/);
  });
});

describe("a resource that cannot be compiled", () => {
  it("is refused alone, with the field; its last good version goes on", () => {
    const compiler = createModelCompiler();
    compiler.apply(CLUSTER_TYPE_URL, [cluster("a"), cluster("b")], []);
    const before = compiler.model;
    const bad = cluster("a", { circuitBreakers: { thresholds: [] }, connectTimeout: { seconds: -1n, nanos: 0 } });
    const result = compiler.apply(CLUSTER_TYPE_URL, [bad, cluster("c")], []);
    expect(result.rejected).toEqual([{ name: "a", reason: expect.stringMatching(/^connect_timeout: expected/) }]);
    expect(compiler.model.clusters.get("a")).toBe(before.clusters.get("a"));
    expect(compiler.model.clusters.has("c")).toBe(true);
    // Sent again it is refused again; put right it is taken.
    expect(compiler.apply(CLUSTER_TYPE_URL, [bad], []).rejected).toHaveLength(1);
    expect(compiler.apply(CLUSTER_TYPE_URL, [cluster("a")], []).rejected).toEqual([]);
  });

  it.each([CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, LISTENER_TYPE_URL, ROUTE_TYPE_URL])(
    "case 53: may be any bytes: %s",
    (typeUrl) => {
      const resource = {
        name: typeUrl === LISTENER_TYPE_URL ? "main_internal" : "x",
        bytes: Buffer.from("0affffff7f", "hex"),
      };
      const { rejected } = createModelCompiler().apply(typeUrl, [resource], []);
      expect(rejected.map(({ name }) => name)).toEqual([resource.name]);
    },
  );

  it("is refused when nobody knows its type", () => {
    expect(createModelCompiler().apply("type.googleapis.com/x.Y", [cluster("a")], ["b"]).rejected).toHaveLength(1);
  });

  it("leaves a chain as it was, and the others as they are now", () => {
    const compiler = createModelCompiler();
    main(compiler, toCart);
    const before = compiler.model.chains.get(CART);
    const result = main(compiler, httpChain(CART, [badRoute]), tcp);
    expect(result.rejected[0]?.reason).toMatch(/virtual_hosts\[0\]\.routes\[0\]\.match\.path: regular expression/);
    expect(compiler.model.chains.get(CART)).toBe(before);
    expect(compiler.model.chains.has(CART_TCP)).toBe(true);
    expect(main(compiler, httpChain(CART, [badRoute]), tcp).rejected).toHaveLength(1);
    expect(main(compiler, httpChain(CART, [badRoute])).rejected).toHaveLength(1);
    expect(compiler.model.chains.get(CART)).toBe(before);
  });

  it("makes a chain that never was good refuse everything, with the reason", () => {
    const compiler = createModelCompiler();
    main(compiler, httpChain(CART, [badRoute]));
    expect(compiler.model.findChains(cartAt)?.http).toMatchObject({
      unservable: expect.stringContaining("regular expression"),
    });
  });

  it("may be a chain of nothing, one without name, or one of two with a name", () => {
    const compiler = createModelCompiler();
    expect(main(compiler, { name: CART, filters: [] }).rejected[0]?.reason).toMatch(/expected filters/);
    expect(main(compiler, { ...toCart, name: "" }).rejected[0]?.reason).toMatch(/expected a name/);
    expect(main(compiler, toCart, tcpChain(CART, {})).rejected[0]?.reason).toMatch(/expected names once/);
  });
});

describe("what guards and is not known", () => {
  const wasm = { typeUrl: "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", value: new Uint8Array() };
  const any = (typeUrl: string) => ({ $typeName: "google.protobuf.Any" as const, typeUrl, value: wasm.value });
  const filters = [httpFilter("guard", any(wasm.typeUrl))];

  it("makes its chain refuse everything, also where an earlier version was good", () => {
    const compiler = createModelCompiler();
    main(compiler, toCart);
    const result = main(compiler, httpChain(CART, [toCluster(CART)], filters), tcp);
    const reason = expect.stringMatching(/http_filters\[0\] "guard": expected a filter that is supported, got .*Wasm/);
    expect(result.rejected).toEqual([{ name: "main_internal", reason }]);
    expect(compiler.model.findChains(cartAt)?.http).toMatchObject({ unservable: reason });
    expect(compiler.model.chains.get(CART_TCP)).not.toHaveProperty("unservable");
    expect(main(compiler, toCart).rejected).toEqual([]);
    expect(compiler.model.findChains(cartAt)?.http).not.toHaveProperty("unservable");
  });

  it("is left out where the filter is optional or disabled, with a note that is told once", () => {
    const compiler = createModelCompiler();
    const optional = httpFilter("guard", any(wasm.typeUrl), { isOptional: true });
    const off = httpFilter("off", any(wasm.typeUrl), { disabled: true });
    const result = main(compiler, httpChain(CART, [toCluster(CART)], [optional, off]));
    expect(result).toMatchObject({ rejected: [], notes: [expect.stringContaining('optional filter "guard"')] });
    expect(main(compiler, httpChain(CART, [toCluster("x")], [optional])).notes).toEqual([]);
  });

  it("is not a filter that Istio only observes with", () => {
    const compiler = createModelCompiler();
    const observing = [struct("stats.PluginConfig"), struct("io.istio.http.peer_metadata.Config")].map((one) =>
      httpFilter("x", one),
    );
    expect(main(compiler, httpChain(CART, [toCluster(CART)], observing)).rejected).toEqual([]);
    const strange = httpFilter("x", struct("some.other.Config"));
    expect(main(compiler, httpChain(CART, [toCluster(CART)], [strange])).rejected[0]?.reason).toMatch(
      /some\.other\.Config/,
    );
  });

  it("stops everything where it guards the tunnels", () => {
    const compiler = createModelCompiler();
    main(compiler, toCart, tcp);
    const layered = listener(
      "connect_terminate",
      httpChain("default", [], [httpFilter("layered", pack(RBACSchema, {}))]),
    );
    expect(listeners(compiler, layered).rejected[0]?.reason).toMatch(/"layered" is not supported/);
    for (const chain of compiler.model.chains.values()) expect(chain.unservable).toMatch(/layered/);
    expect(listeners(compiler, listener("connect_terminate", httpChain("default", []))).rejected).toEqual([]);
    for (const chain of compiler.model.chains.values()) expect(chain.unservable).toBeUndefined();
    listeners(compiler, layered);
    compiler.apply(LISTENER_TYPE_URL, [], ["connect_terminate"]);
    for (const chain of compiler.model.chains.values()) expect(chain.unservable).toBeUndefined();
    expect(listeners(compiler, listener("connect_terminate", tcpChain("default", {}))).rejected).toHaveLength(1);
  });

  it("is not a listener that nobody asked for", () => {
    const result = listeners(createModelCompiler(), listener("0.0.0.0_443"), listener("connect_originate"));
    expect(result).toMatchObject({ rejected: [], notes: [expect.stringContaining("0.0.0.0_443")] });
  });
});

describe("routes by RDS", () => {
  it("refuse what comes before they do, and are the chain's routes then", () => {
    const compiler = createModelCompiler();
    main(compiler, rdsChain(CART, "cart-routes"));
    expect(compiler.model.findChains(cartAt)?.http?.unservable).toMatch(/"cart-routes" has not come/);
    compiler.apply(ROUTE_TYPE_URL, [routeResource("cart-routes", toCluster(CART))], []);
    const chain = compiler.model.findChains(cartAt)?.http;
    expect(chain?.unservable).toBeUndefined();
    expect(chain?.routes).toMatchObject({ name: "cart-routes", virtualHosts: [{ routes: [{ name: "default" }] }] });
    compiler.apply(ROUTE_TYPE_URL, [], ["cart-routes"]);
    expect(compiler.model.findChains(cartAt)?.http?.unservable).toMatch(/has not come/);
  });

  it("go on as they were when the new ones are bad", () => {
    const compiler = createModelCompiler();
    main(compiler, rdsChain(CART, "r"));
    compiler.apply(ROUTE_TYPE_URL, [routeResource("r", toCluster(CART))], []);
    const before = compiler.model;
    expect(compiler.apply(ROUTE_TYPE_URL, [routeResource("r", badRoute)], []).rejected).toHaveLength(1);
    expect(compiler.model).toBe(before);
  });

  it("change one chain and no other", () => {
    const compiler = createModelCompiler();
    main(compiler, rdsChain(CART, "r"), tcp);
    compiler.apply(ROUTE_TYPE_URL, [routeResource("r", toCluster("a"))], []);
    const before = compiler.model;
    compiler.apply(ROUTE_TYPE_URL, [routeResource("r", toCluster("b"))], []);
    expect(compiler.model.chains.get(CART_TCP)).toBe(before.chains.get(CART_TCP));
    expect(compiler.model.chains.get(CART)).not.toBe(before.chains.get(CART));
  });

  it("make their chain refuse everything when they hold a guard that is not known", () => {
    const compiler = createModelCompiler();
    main(compiler, rdsChain(CART, "r"));
    const config = {
      $typeName: "google.protobuf.Any" as const,
      typeUrl: "x/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
      value: new Uint8Array(),
    };
    const guarded = toCluster(CART, { typedPerFilterConfig: { authz: config } });
    expect(compiler.apply(ROUTE_TYPE_URL, [routeResource("r", guarded)], []).rejected).toHaveLength(1);
    expect(compiler.model.findChains(cartAt)?.http?.unservable).toMatch(/typed_per_filter_config\["authz"\]/);
  });
});

it("a service's name and namespace come from its cluster where that says them", () => {
  const compiler = createModelCompiler();
  const name = "inbound-vip|443|tcp|api.example.com";
  const external = tcpChain(name, { clusterSpecifier: { case: "cluster", value: name } });
  listeners(compiler, mainListener(undefined, external));
  expect(compiler.model.chains.get(name)?.service).toEqual({
    hostname: "api.example.com",
    name: "api.example.com",
    namespace: "",
    port: 443,
  });
  const services = [{ host: "api.example.com", name: "api", namespace: "shop" }];
  compiler.apply(CLUSTER_TYPE_URL, [cluster(name, { metadata: { filterMetadata: { istio: { services } } } })], []);
  expect(compiler.model.chains.get(name)?.service).toEqual({
    hostname: "api.example.com",
    name: "api",
    namespace: "shop",
    port: 443,
  });
});

it("an endpoint assignment replaces the one before as a whole", () => {
  const compiler = createModelCompiler();
  compiler.apply(CLUSTER_TYPE_URL, [cluster("a")], []);
  compiler.apply(ENDPOINT_TYPE_URL, [endpoints("a", hbone("10.1.0.1:80"), plain("10.1.0.2", 80))], []);
  compiler.apply(ENDPOINT_TYPE_URL, [endpoints("a", plain("10.1.0.2", 80))], []);
  expect(compiler.model.clusters.get("a")?.priorities[0]?.[0]?.endpoints.map(({ key }) => key)).toEqual([
    "10.1.0.2:80",
  ]);
  compiler.apply(ENDPOINT_TYPE_URL, [], ["a"]);
  expect(compiler.model.clusters.get("a")?.priorities).toEqual([]);
});
