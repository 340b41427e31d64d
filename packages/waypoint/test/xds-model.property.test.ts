/** Whatever the order in which resources come and go, the model is that of what is there in the end. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
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
  byPort,
  cluster,
  endpoints,
  hbone,
  httpChain,
  mainListener,
  rdsChain,
  routeResource,
  tcpChain,
  toChain,
  toCluster,
} from "./xds-builders.ts";

const SERVICES = ["a", "b", "c"] as const;
const vip = (service: string) => `inbound-vip|80|http|${service}.shop.svc.cluster.local`;

/** One of a few versions of each resource, so that they come again unchanged as well. */
function build(type: string, service: string, version: number): XdsResource {
  const name = vip(service);
  switch (type) {
    case CLUSTER_TYPE_URL:
      return cluster(name, {
        lbPolicy: version === 0 ? 1 : 0,
        metadata: {
          filterMetadata: {
            istio: { services: [{ host: `${service}.shop`, name: service, namespace: `v${version}` }] },
          },
        },
      });
    case ENDPOINT_TYPE_URL:
      return endpoints(name, hbone(`10.1.0.${version + 1}:80`));
    default:
      return routeResource(`routes-${service}`, toCluster(`${name}-${version}`));
  }
}

/** The listener of a version: which chains are inline, by RDS, TCP, or not there. */
function buildMain(version: number): XdsResource {
  const shapes = SERVICES.map((service, index) => ({ service, shape: Math.floor(version / 4 ** index) % 4 })).filter(
    ({ shape }) => shape > 0,
  );
  const chains = shapes.map(({ service, shape }) => {
    const name = vip(service);
    if (shape === 1) return httpChain(name, [toCluster(name)]);
    return shape === 2
      ? rdsChain(name, `routes-${service}`)
      : tcpChain(name, { clusterSpecifier: { case: "cluster", value: name } });
  });
  const ranges = shapes.map(({ service }) => ({
    addresses: [addressOf(service)],
    leadsTo: byPort({ "80": toChain(vip(service)) }),
  }));
  return mainListener(byAddress(...ranges), ...chains);
}

const addressOf = (service: string) => `10.0.0.${SERVICES.indexOf(service as "a") + 1}`;

type Step = { readonly typeUrl: string; readonly name: string; readonly resource: XdsResource | undefined };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc
    .record({
      type: fc.constantFrom(CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, ROUTE_TYPE_URL),
      service: fc.constantFrom(...SERVICES),
      version: fc.integer({ min: -1, max: 1 }),
    })
    .map(({ type, service, version }) => {
      const resource = build(type, service, Math.max(version, 0));
      return { typeUrl: type, name: resource.name, resource: version < 0 ? undefined : resource };
    }),
  fc.integer({ min: -8, max: 63 }).map((version) => ({
    typeUrl: LISTENER_TYPE_URL,
    name: "main_internal",
    resource: version < 0 ? undefined : buildMain(version),
  })),
);

const take = (compiler: ModelCompiler, { typeUrl, name, resource }: Step) =>
  compiler.apply(typeUrl, resource ? [resource] : [], resource ? [] : [name]);

/** What a model says, without the count of models and with functions asked. */
const saying = (model: RouteModel) => ({
  clusters: Object.fromEntries(model.clusters),
  chains: Object.fromEntries(model.chains),
  found: SERVICES.map((service) => {
    const chains = model.findChains(address(addressOf(service), 80));
    return [chains?.http?.name, chains?.tcp?.name];
  }),
});

/** Sorted, so that the order of insertion does not count; functions by their presence. */
const canonical = (model: RouteModel) =>
  JSON.stringify(saying(model), (_, value: unknown) =>
    typeof value === "function" ? "function" : value instanceof Set ? [...value].toSorted() : sorted(value),
  );
const sorted = (value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    : value;

/** The last of each resource; endpoints and routes that were given up on the way are gone, as nobody refers to them. */
function lastOfEach(steps: readonly Step[]): { readonly left: readonly Step[]; readonly wants: string } {
  const compiler = createModelCompiler();
  const left = new Map<string, Step>();
  let before = new Set<string>();
  let wants = "";
  for (const one of steps) {
    left.set(`${one.typeUrl} ${one.name}`, one);
    const result = take(compiler, one);
    wants = JSON.stringify(result.wants);
    const now = new Set([
      ...result.wants.eds.map((name) => `${ENDPOINT_TYPE_URL} ${name}`),
      ...result.wants.rds.map((name) => `${ROUTE_TYPE_URL} ${name}`),
    ]);
    for (const key of before) if (!now.has(key)) left.delete(key);
    before = now;
  }
  return { left: [...left.values()].filter(({ resource }) => resource !== undefined), wants };
}

describe("the model compiler", () => {
  it("ends in the same model whatever the way there", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), fc.nat(), (steps, rotation) => {
        const compiler = createModelCompiler();
        for (const one of steps) expect(take(compiler, one).rejected).toEqual([]);
        const { left, wants } = lastOfEach(steps);
        const fresh = createModelCompiler();
        const from = left.length === 0 ? 0 : rotation % left.length;
        let last = JSON.stringify({ eds: [], rds: [] });
        for (const one of [...left.slice(from), ...left.slice(0, from)]) last = JSON.stringify(take(fresh, one).wants);
        expect(canonical(compiler.model)).toBe(canonical(fresh.model));
        if (steps.length > 0 && left.length > 0) expect(last).toBe(wants);
      }),
      { numRuns: 150 },
    );
  });

  it("returns to the earlier model when what was added is removed", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 10 }), (steps) => {
        const compiler = createModelCompiler();
        for (const one of steps) take(compiler, one);
        const before = canonical(compiler.model);
        const extra = cluster("extra");
        compiler.apply(CLUSTER_TYPE_URL, [extra], []);
        compiler.apply(ENDPOINT_TYPE_URL, [endpoints("extra", hbone("10.9.0.1:80"))], []);
        expect(canonical(compiler.model)).not.toBe(before);
        compiler.apply(CLUSTER_TYPE_URL, [], ["extra"]);
        expect(canonical(compiler.model)).toBe(before);
      }),
      { numRuns: 50 },
    );
  });
});
