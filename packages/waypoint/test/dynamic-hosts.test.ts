/** Hosts of a wildcard that requests name: only those, and only where it is safe to go. Real sockets. */
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { TLSSocket } from "node:tls";
import { ClusterConfigSchema } from "@ambit/envoy-api/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster";
import { FilterConfigSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy";
import { UpstreamTlsContextSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import { type IpAddress, ipOf } from "@ambit/shared/net";
import { eventually } from "@ambit/testing/eventually";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "@jest/globals";
import { DynamicHosts } from "../src/balance/dynamic-hosts.ts";
import { listen } from "./http-ends.ts";
import { ServedWaypoint } from "./served-waypoint.ts";
import { Cleanup, identityUri, TestAuthority } from "./transport-fixtures.ts";
import { cluster, httpChain, httpFilter, pack, toCluster } from "./xds-builders.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const nameOf = (port: number): string => `inbound-vip|${port}|http|*.example.org`;
/** Loopback, where the test's applications are, and the link, where no request may ever go. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  "a.example.org": ["127.0.0.1"],
  "b.example.org": ["127.0.0.1"],
  "mixed.example.org": ["169.254.169.254", "127.0.0.1"],
  "metadata.example.org": ["169.254.169.254"],
  "other.test": ["127.0.0.1"],
};
const lookUp = (host: string): Promise<readonly IpAddress[]> => {
  const found = NAMES[host];
  return found ? Promise.resolve(found.map(ipOf)) : Promise.reject(new Error("ENOTFOUND"));
};

type ClusterInit = Parameters<typeof cluster>[1];

function dynamicCluster(port: number, more: ClusterInit = {}) {
  const typedConfig = pack(ClusterConfigSchema, {
    clusterImplementationSpecifier: { case: "dnsCacheConfig", value: { name: "c" } },
  });
  return cluster(nameOf(port), {
    clusterDiscoveryType: { case: "clusterType", value: { name: "envoy.clusters.dynamic_forward_proxy", typedConfig } },
    metadata: {
      filterMetadata: { istio: { services: [{ host: "*.example.org", name: "outside", namespace: "shop" }] } },
    },
    ...more,
  } as ClusterInit);
}

function start(port: number, env: Readonly<Record<string, string>>, more: ClusterInit = {}) {
  const filter = pack(FilterConfigSchema, {
    implementationSpecifier: { case: "dnsCacheConfig", value: { name: "c" } },
  } as MessageInitShape<typeof FilterConfigSchema>);
  const chain = httpChain(nameOf(port), [toCluster(nameOf(port))], [httpFilter("dfp", filter)]);
  const config = { clusters: [dynamicCluster(port, more)], endpoints: [], chain, port };
  return ServedWaypoint.start(config, cleanup, { env, lookUp });
}

const LOOPBACK = { AMBIT_EXTERNAL_NETWORKS: "127.0.0.0/8" };

async function application(): Promise<number> {
  const server = createServer(({ headers }, response) => void response.end(`I am ${headers.host}`));
  cleanup.add(() => void server.close());
  return listen(server);
}

describe("a request to a wildcard", () => {
  it("goes to the host that it names", async () => {
    const port = await application();
    const waypoint = await start(port, LOOPBACK);
    expect(await waypoint.request("/", `host: a.example.org:${port}`)).toContain(`I am a.example.org:${port}`);
    expect(await waypoint.request("/", "host: mixed.example.org")).toContain("I am mixed.example.org");
  });

  it.each([
    ["a host that the wildcard does not cover", "other.test", 404],
    ["the bare domain", "example.org", 404],
    ["an address", "127.0.0.1", 404],
    ["another port", "a.example.org:22", 404],
    ["a name that does not exist", "gone.example.org", 503],
    ["a name that leads to the link", "metadata.example.org", 503],
  ])("does not go to %s", async (_, host, status) => {
    const waypoint = await start(await application(), LOOPBACK);
    expect(await waypoint.request("/", `host: ${host}`)).toMatch(new RegExp(`^HTTP/1.1 ${status}`));
  });

  it("goes to no address that is not public unless the operator allows it", async () => {
    const waypoint = await start(await application(), {});
    expect(await waypoint.request("/", "host: a.example.org")).toMatch(/^HTTP\/1.1 503/);
    const [refusal] = await eventually("the refusal is told", async () => {
      const refusals = (await (await waypoint.process.get("admin", "/debug/refusals")).json()) as { message: string }[];
      return refusals.length > 0 && refusals;
    });
    expect(refusal?.message).toContain("leads to no public address");
  });

  it("asks TLS for the host that it names, host by host on connections of their own", async () => {
    const authority = await TestAuthority.create();
    const { keyPem, chainPem } = await authority.issue(identityUri("a"), { uris: [], hosts: ["a.example.org"] });
    const server = createTlsServer({ key: keyPem, cert: chainPem }, ({ socket }, response) => {
      response.end(`asked for ${(socket as TLSSocket & { servername: string }).servername}`);
    });
    cleanup.add(() => void server.close());
    const port = await listen(server);
    const trustedCa = { specifier: { case: "inlineString" as const, value: authority.rootPem } };
    const context = pack(UpstreamTlsContextSchema, {
      commonTlsContext: { validationContextType: { case: "validationContext", value: { trustedCa } } },
    });
    const transportSocket = { name: "tls", configType: { case: "typedConfig" as const, value: context } };
    const waypoint = await start(port, LOOPBACK, { transportSocket });
    expect(await waypoint.request("/", "host: a.example.org")).toContain("asked for a.example.org");
    expect(await waypoint.request("/", "host: b.example.org")).toMatch(/^HTTP\/1.1 503/);
  });
});

describe("DynamicHosts", () => {
  function hosts(found: () => Promise<readonly string[]>) {
    let now = 0;
    let asked = 0;
    const timers: (() => void)[] = [];
    const made = new DynamicHosts({
      clock: {
        now: () => now,
        monotonic: () => now,
        after: (_ms, task) => {
          timers.push(task);
          return () => {};
        },
      },
      isAllowed: (ip) => ip !== "127.0.0.1",
      lookUp: async () => {
        asked += 1;
        return (await found()).map(ipOf);
      },
    });
    return { made, asked: () => asked, pass: (ms: number) => (now += ms), timers };
  }

  it("asks once for all who wait, and again after a while, as a name may lead elsewhere then", async () => {
    let address = "198.51.100.1";
    const { made, asked, pass } = hosts(() => Promise.resolve([address]));
    expect(await Promise.all([made.resolve("a"), made.resolve("a")])).toEqual([address, address]);
    pass(29_000);
    await made.resolve("a");
    expect(asked()).toBe(1);
    address = "127.0.0.1";
    pass(2_000);
    await expect(made.resolve("a")).rejects.toThrow(/no public address/);
    expect(asked()).toBe(2);
  });

  it("forgets names beyond its bound, and looks up so many at once at most", async () => {
    const { made, asked } = hosts(() => Promise.resolve(["198.51.100.1"]));
    for (let i = 0; i < 1_100; i++) await made.resolve(`h${i}`);
    await made.resolve("h1099");
    expect(asked()).toBe(1_100);
    await made.resolve("h0");
    expect(asked()).toBe(1_101);
    const slow = hosts(() => new Promise(() => {}));
    for (let i = 0; i < 64; i++) slow.made.resolve(`h${i}`).catch(() => {});
    await expect(slow.made.resolve("h64")).rejects.toThrow(/too many names/);
    for (const timer of slow.timers) timer();
    await expect(slow.made.resolve("h0")).rejects.toThrow(/not answered in time/);
  });
});
