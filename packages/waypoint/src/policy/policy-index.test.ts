import { describe, expect, it } from "@jest/globals";
import { ANY, header, type PolicySpec, path, peer, port, request, rules } from "../../test/policy-builders.ts";
import type { RbacPolicy } from "./model.ts";
import { PolicyFacts } from "./policy-facts.ts";
import { indexOf, PolicyIndex } from "./policy-index.ts";

const COUNT = 1000;

/** The policies, and how often any of them was asked. */
function counted(spec: (index: number) => PolicySpec): { policies: readonly RbacPolicy[]; asked: () => number } {
  let asked = 0;
  const specs = Object.fromEntries(Array.from({ length: COUNT }, (_, index) => [`p${index}`, spec(index)]));
  const [set] = rules("ALLOW", specs);
  const policies = (set?.enforced ?? []).map((policy) => ({
    ...policy,
    matches: (attributes: Parameters<RbacPolicy["matches"]>[0]) => {
      asked++;
      return policy.matches(attributes);
    },
  }));
  return { policies, asked: () => asked };
}

const CART = peer({ exact: "spiffe://cluster.local/ns/shop/sa/cart" });

describe("a thousand policies", () => {
  it.each([
    ["paths", (i: number) => ({ permissions: [path({ exact: `/${i}` })] }), { path: "/500" }],
    ["path prefixes", (i: number) => ({ permissions: [path({ prefix: `/${i}/` })] }), { path: "/500/x" }],
    ["path suffixes", (i: number) => ({ permissions: [path({ suffix: `.${i}` })] }), { path: "/a.500" }],
    [
      "paths of one principal",
      (i: number) => ({ permissions: [path({ exact: `/${i}` })], principals: [CART] }),
      { path: "/500" },
    ],
    [
      "alternatives",
      (i: number) => ({ permissions: [path({ exact: `/${i}` }), path({ exact: `/x${i}` })] }),
      { path: "/x500" },
    ],
    [
      "hosts",
      (i: number) => ({ permissions: [header(":authority", { exact: `H${i}`, ignoreCase: true })] }),
      { authority: "h500" },
    ],
    ["methods", (i: number) => ({ permissions: [header(":method", { exact: `M${i}` })] }), { method: "M500" }],
  ] as [string, (i: number) => PolicySpec, object][])("are told apart by %s", (_, spec, target) => {
    const { policies, asked } = counted(spec);
    const index = new PolicyIndex(policies);
    expect(index.findMatch(PolicyFacts.of(request(target)))?.name).toContain("p500");
    expect(
      index.findMatch(PolicyFacts.of(request({ path: "/nothing", method: "NONE", authority: "none" }))),
    ).toBeUndefined();
    expect(asked()).toBeLessThanOrEqual(2);
  });

  it.each([
    ["principals", (i: number) => ({ principals: [peer({ exact: `spiffe://cluster.local/ns/n${i}/sa/a` })] })],
    ["namespaces", (i: number) => ({ principals: [peer({ safeRegex: { regex: `.*/ns/n${i}/.*` } })] })],
    [
      "service accounts",
      (i: number) => ({ principals: [peer({ safeRegex: { regex: `spiffe://.+/ns/n${i}/(.+/|)sa/a(/.+)?` } })] }),
    ],
  ] as [string, (i: number) => PolicySpec][])("are told apart by %s", (_, spec) => {
    const { policies, asked } = counted(spec);
    const index = new PolicyIndex(policies);
    const by = (peerPrincipal: string | undefined) => index.findMatch(PolicyFacts.of(request({}, { peerPrincipal })));
    expect(by("spiffe://cluster.local/ns/n500/sa/a")?.name).toContain("p500");
    expect(by("spiffe://cluster.local/ns/other/sa/a")).toBeUndefined();
    expect(by(undefined)).toBeUndefined();
    expect(asked()).toBeLessThanOrEqual(2);
  });

  it("are told apart by ports, on a connection, too", () => {
    const { policies, asked } = counted((i) => ({ permissions: [port(i + 1)] }));
    const facts = PolicyFacts.of({ ...request({}, { destinationPort: 501 }), http: undefined });
    expect(new PolicyIndex(policies).findMatch(facts)?.name).toContain("p500");
    expect(asked()).toBe(1);
  });

  it("that never match are never asked, and those without a key always", () => {
    const never = counted(() => ({ permissions: [{ notRule: ANY }] }));
    expect(new PolicyIndex(never.policies).findMatch(PolicyFacts.of(request()))).toBeUndefined();
    expect(never.asked()).toBe(0);
    const always = counted(() => ({ permissions: [header("x", { exact: "1" })] }));
    expect(new PolicyIndex(always.policies).findMatch(PolicyFacts.of(request()))).toBeUndefined();
    expect(always.asked()).toBe(COUNT);
  });
});

describe("indexOf", () => {
  it("makes one index a list", () => {
    const list: RbacPolicy[] = [];
    expect(indexOf(list)).toBe(indexOf(list));
  });
});
