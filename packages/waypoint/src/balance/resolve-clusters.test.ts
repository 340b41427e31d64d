import { type IpAddress, ipOf } from "@ambit/shared/net";
import { systemClock } from "@ambit/shared/time";
import { describe, expect, it } from "@jest/globals";
import type { Cluster, LocalityEndpoints } from "./model.ts";
import { ClusterResolver } from "./resolve-clusters.ts";
import { buildCluster, ManualClock } from "./test-cluster.ts";

const named = (name: string, hostnames: readonly string[], logical = false): Cluster => ({
  ...buildCluster(0),
  name,
  dns: { hostnames: hostnames.map((hostname) => ({ hostname, port: 80 })), logical },
});
const modelOf = (...clusters: readonly Cluster[]) => new Map(clusters.map((cluster) => [cluster.name, cluster]));
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Answers when told to. */
function setUp() {
  const clock = new ManualClock();
  const asked: string[] = [];
  const resolved: string[] = [];
  const answers = new Map<string, Promise<readonly IpAddress[]>>();
  const balancers = {
    resolved: (name: string, priorities: readonly (readonly LocalityEndpoints[])[]): void => {
      const endpoints = priorities.flatMap((localities) => localities.flatMap((locality) => locality.endpoints));
      resolved.push(`${name} ${endpoints.map(({ key }) => key).join()}`);
    },
  };
  const resolver = new ClusterResolver(clock, balancers, (hostname) => {
    asked.push(hostname);
    return answers.get(hostname) ?? Promise.reject(new Error("no such name"));
  });
  const answer = (hostname: string, ...addresses: readonly string[]) =>
    answers.set(hostname, Promise.resolve(addresses.map((address) => ipOf(address))));
  return { clock, asked, resolved, answers, answer, resolver };
}

describe("ClusterResolver", () => {
  it("looks up the names of a cluster, and again after a while", async () => {
    const { clock, resolved, answer, resolver } = setUp();
    answer("a", "10.0.0.1", "10.0.0.2");
    resolver.update(modelOf(named("c", ["a"]), buildCluster(1)));
    await settle();
    answer("a", "10.0.0.3");
    clock.advance(5_000);
    await settle();
    expect(resolved).toEqual(["c 10.0.0.1:80,10.0.0.2:80", "c 10.0.0.3:80"]);
  });

  it("asks nothing anew for names that a new model has as well", async () => {
    const { asked, answer, resolver } = setUp();
    answer("a", "10.0.0.1");
    for (let at = 0; at < 5; at++) {
      resolver.update(modelOf(named("c", ["a"])));
      await settle();
    }
    expect(asked).toEqual(["a"]);
  });

  it("keeps the addresses of a name whose look-up fails, beside those of others", async () => {
    const { clock, resolved, answers, answer, resolver } = setUp();
    answer("a", "10.0.0.1");
    answer("b", "10.0.0.2");
    resolver.update(modelOf(named("c", ["a", "b"])));
    await settle();
    answers.delete("a");
    answer("b", "10.0.0.3");
    clock.advance(5_000);
    await settle();
    expect(resolved.at(-1)).toBe("c 10.0.0.1:80,10.0.0.3:80");
  });

  it("forgets an answer that comes after the names were changed", async () => {
    const { resolved, answers, answer, resolver } = setUp();
    const late = Promise.withResolvers<readonly IpAddress[]>();
    answers.set("old", late.promise);
    answer("new", "10.0.0.2");
    resolver.update(modelOf(named("c", ["old"])));
    resolver.update(modelOf(named("c", ["new"])));
    await settle();
    late.resolve([ipOf("10.0.0.1")]);
    await settle();
    expect(resolved).toEqual(["c 10.0.0.2:80"]);
  });

  it("lets no slow name hold up another cluster's", async () => {
    const { clock, asked, answers, answer, resolver } = setUp();
    answers.set("slow", new Promise(() => {}));
    answer("a", "10.0.0.1");
    resolver.update(modelOf(named("slow", ["slow"]), named("c", ["a"])));
    await settle();
    clock.advance(5_000);
    await settle();
    expect(asked).toEqual(["slow", "a", "a"]);
  });

  it("has one endpoint where the cluster is a logical one, none of a name that nobody knows, and stops", async () => {
    const { clock, asked, resolved, answer, resolver } = setUp();
    answer("a", "10.0.0.1", "10.0.0.2");
    resolver.update(modelOf(named("c", ["a"], true), named("d", ["unknown"])));
    await settle();
    expect(resolved).toEqual(["c 10.0.0.1:80"]);
    resolver.stop();
    clock.advance(60_000);
    await settle();
    expect(asked).toHaveLength(2);
  });

  it("asks the system's resolver", async () => {
    const found = Promise.withResolvers<number>();
    const resolver = new ClusterResolver(systemClock, {
      resolved: (_name, priorities) => found.resolve(priorities[0]?.[0]?.endpoints.length ?? 0),
    });
    resolver.update(modelOf(named("c", ["localhost"])));
    expect(await found.promise).toBeGreaterThan(0);
    resolver.stop();
  });
});
