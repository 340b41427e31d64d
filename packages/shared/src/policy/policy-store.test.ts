import { describe, expect, it } from "@jest/globals";
import { aPolicy } from "../../test/mesh-builders.ts";
import { ipOf } from "../net/index.ts";
import {
  type AuthorizationPolicy,
  matchesPolicy,
  type PolicyConnection,
  type PolicyMatch,
  PolicyStore,
} from "./index.ts";

const anonymous: PolicyConnection = {
  sourceIp: ipOf("10.0.0.9"),
  sourcePort: 40_000,
  destinationIp: ipOf("10.0.0.1"),
  destinationPort: 80,
};
const fromWeb: PolicyConnection = {
  ...anonymous,
  identity: { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" },
};
const WEB = "cluster.local/ns/shop/sa/web";
const destination = { namespace: "shop", authorizationPolicies: [] as string[] };
const storeOf = (...policies: AuthorizationPolicy[]): PolicyStore => {
  const store = new PolicyStore();
  store.apply({ policies, removed: [] });
  return store;
};
const principal: PolicyMatch = { principals: [{ kind: "exact", value: WEB }] };
const matches = (match: PolicyMatch, connection: PolicyConnection): boolean =>
  matchesPolicy(aPolicy({ name: "p", rules: [[[match]]] }), connection);

describe("a policy", () => {
  it.each<[string, AuthorizationPolicy["rules"], boolean]>([
    ["without rules never matches", [], false],
    ["with a rule without clauses always matches", [[]], true],
    ["with a clause without matches always matches", [[[]]], true],
    ["with a clause of empty matches never matches", [[[{}, {}]]], false],
    ["skips empty matches beside others", [[[{}, { destinationPorts: [80] }]]], true],
    ["takes an empty list for an absent one", [[[{ destinationPorts: [], notDestinationPorts: [81] }]]], true],
    ["needs every clause", [[[{ destinationPorts: [80] }], [{ destinationPorts: [81] }]]], false],
    ["needs one match of a clause", [[[{ destinationPorts: [81] }, { destinationPorts: [80] }]]], true],
    ["needs one rule", [[[{ destinationPorts: [81] }]], [[{ destinationPorts: [80] }]]], true],
    ["needs every field of a match", [[[{ destinationPorts: [80], sourceIps: ["192.0.2.0/24"] }]]], false],
    [
      "needs both the list and its exceptions",
      [[[{ sourceIps: ["10.0.0.0/8"], notSourceIps: ["10.0.0.9/32"] }]]],
      false,
    ],
  ])("%s", (_what, rules, expected) => {
    expect(matchesPolicy(aPolicy({ name: "p", rules }), fromWeb)).toBe(expected);
  });

  // [field, with identity shop/web, without identity]
  it.each<[string, PolicyMatch, boolean, boolean]>([
    ["principals exact", principal, true, false],
    ["principals presence", { principals: [{ kind: "presence" }] }, true, false],
    ["principals empty prefix", { principals: [{ kind: "prefix", value: "" }] }, true, false],
    ["not principals presence", { notPrincipals: [{ kind: "presence" }] }, false, true],
    ["not principals exact", { notPrincipals: [{ kind: "exact", value: WEB }] }, false, true],
    ["namespaces exact", { namespaces: [{ kind: "exact", value: "shop" }] }, true, false],
    ["namespaces empty", { namespaces: [{ kind: "exact", value: "" }] }, false, true],
    ["namespaces presence", { namespaces: [{ kind: "presence" }] }, true, false],
    ["namespaces empty prefix", { namespaces: [{ kind: "prefix", value: "" }] }, true, true],
    ["not namespaces presence", { notNamespaces: [{ kind: "presence" }] }, false, true],
    ["not namespaces exact", { notNamespaces: [{ kind: "exact", value: "shop" }] }, false, true],
    ["service accounts", { serviceAccounts: [{ namespace: "shop", serviceAccount: "web" }] }, true, false],
    ["not service accounts", { notServiceAccounts: [{ namespace: "shop", serviceAccount: "web" }] }, false, true],
  ])("compares %s with and without an identity", (_what, match, identified, without) => {
    expect([matches(match, fromWeb), matches(match, anonymous)]).toEqual([identified, without]);
  });

  it("compares service accounts whatever the trust domain, and without treating dots as wildcards", () => {
    const other = { ...anonymous, identity: { trustDomain: "other", namespace: "shop", serviceAccount: "we.b" } };
    expect(matches({ serviceAccounts: [{ namespace: "shop", serviceAccount: "we.b" }] }, other)).toBe(true);
    expect(matches({ serviceAccounts: [{ namespace: "shop", serviceAccount: "we.b" }] }, fromWeb)).toBe(false);
    expect(matches({ serviceAccounts: [{ namespace: "shop", serviceAccount: "w.b" }] }, fromWeb)).toBe(false);
  });

  it("case 49: an IPv4 source is in the IPv4 prefix whatever its form, and in no IPv6 prefix", () => {
    const mapped = { ...anonymous, sourceIp: ipOf("::ffff:10.0.0.9") };
    expect(matches({ sourceIps: ["10.0.0.0/8"] }, mapped)).toBe(true);
    expect(matches({ sourceIps: ["::ffff:10.0.0.0/104"] }, mapped)).toBe(true);
    expect(matches({ sourceIps: ["::/0"] }, mapped)).toBe(false);
  });
});

describe("PolicyStore", () => {
  it("allows when no policy applies, and when only DENY policies do and none matches", () => {
    expect(storeOf().evaluate(anonymous, destination)).toEqual({ kind: "allow", dryRun: [] });
    const deny = aPolicy({ name: "d", action: "Deny", rules: [[[principal]]] });
    expect(storeOf(deny).evaluate(anonymous, destination).kind).toBe("allow");
    expect(storeOf(deny).evaluate(fromWeb, destination)).toEqual({
      kind: "deny",
      code: "POLICY_DENIED",
      policy: "shop/d",
      message: "denied by policy shop/d",
      dryRun: [],
    });
  });

  it("denies by an empty ALLOW, and allows what an ALLOW matches", () => {
    expect(storeOf(aPolicy({ name: "none" })).evaluate(fromWeb, destination)).toMatchObject({
      code: "POLICY_NOT_ALLOWED",
    });
    const allow = aPolicy({ name: "web", rules: [[[principal]]] });
    expect(storeOf(aPolicy({ name: "none" }), allow).evaluate(fromWeb, destination)).toMatchObject({
      kind: "allow",
      policy: "shop/web",
    });
  });

  it("applies global policies everywhere, namespace ones there, and selector ones where listed", () => {
    const deny = { action: "Deny", rules: [[]] } as const;
    const elsewhere = { namespace: "bank", authorizationPolicies: [] };
    const listing = { namespace: "bank", authorizationPolicies: ["shop/d"] };
    const outcome = (scope: AuthorizationPolicy["scope"]) => {
      const store = storeOf(aPolicy({ name: "d", scope, ...deny }));
      return [destination, elsewhere, listing].map((to) => store.evaluate(anonymous, to).kind);
    };
    expect(outcome("Global")).toEqual(["deny", "deny", "deny"]);
    expect(outcome("Namespace")).toEqual(["deny", "allow", "deny"]);
    expect(outcome("WorkloadSelector")).toEqual(["allow", "allow", "deny"]);
  });

  it("moves a policy that changes its scope", () => {
    const deny = aPolicy({ name: "d", action: "Deny", rules: [[]] });
    const store = storeOf({ ...deny, scope: "Global" });
    store.apply({ policies: [{ ...deny, scope: "WorkloadSelector" }], removed: [] });
    expect(store.evaluate(anonymous, destination).kind).toBe("allow");
    store.apply({ policies: [deny], removed: [] });
    expect(store.evaluate(anonymous, destination).kind).toBe("deny");
    expect(store.evaluate(anonymous, { ...destination, namespace: "bank" }).kind).toBe("allow");
  });

  it("keeps a namespace's other policies when a global one of that namespace goes", () => {
    const deny = { action: "Deny", rules: [[]] } as const;
    const store = storeOf(aPolicy({ name: "g", scope: "Global", ...deny }), aPolicy({ name: "n", ...deny }));
    store.apply({ policies: [], removed: ["shop/g"] });
    expect(store.evaluate(anonymous, destination)).toMatchObject({ policy: "shop/n" });
  });

  it("case 44: denies while a listed policy is missing, unless a DENY says so already", () => {
    const store = storeOf(aPolicy({ name: "web", rules: [[[principal]]] }));
    const listing = { namespace: "shop", authorizationPolicies: ["shop/later"] };
    expect(store.evaluate(fromWeb, listing)).toMatchObject({ code: "POLICY_MISSING", policy: "shop/later" });
    store.apply({ policies: [aPolicy({ name: "later", scope: "WorkloadSelector", rules: [[]] })], removed: [] });
    expect(store.evaluate(fromWeb, listing).kind).toBe("allow");
    store.apply({ policies: [], removed: ["shop/later"] });
    expect(store.evaluate(fromWeb, listing)).toMatchObject({ code: "POLICY_MISSING" });
  });

  it("says what dry-run policies would do, and does not enforce them", () => {
    const dry = { dryRun: true, rules: [[[principal]]] } as const;
    const store = storeOf(aPolicy({ name: "d", action: "Deny", ...dry }), aPolicy({ name: "a", ...dry }));
    expect(store.evaluate(fromWeb, destination)).toEqual({
      kind: "allow",
      dryRun: ["policy shop/d would deny", "policy shop/a would allow"],
    });
    expect(store.evaluate(anonymous, destination)).toEqual({
      kind: "allow",
      dryRun: ["no dry-run ALLOW policy matches: enforcing them would deny"],
    });
  });

  it("keeps up with changes for a workload that lists thousands, after a long pause too", () => {
    const names = Array.from({ length: 200 }, (_, n) => `p${n}`);
    const selector = (name: string, port: number) =>
      aPolicy({ name, scope: "WorkloadSelector", action: "Deny", rules: [[[{ destinationPorts: [port] }]]] });
    const store = storeOf(...names.map((name) => selector(name, 9)));
    const listing = { namespace: "shop", authorizationPolicies: names.map((name) => `shop/${name}`) };
    expect(store.evaluate(anonymous, listing).kind).toBe("allow");
    store.apply({ policies: [selector("p7", 80)], removed: [] });
    expect(store.evaluate(anonymous, listing)).toMatchObject({ policy: "shop/p7" });
    store.apply({ policies: [selector("p7", 9)], removed: [] });
    for (let n = 0; n < 9_000; n++) store.apply({ policies: [selector("unlisted", n)], removed: [] });
    expect(store.evaluate(anonymous, listing).kind).toBe("allow");
    expect([...store.policies()]).toHaveLength(201);
    expect(store.get("shop/p7")?.rules).toEqual([[[{ destinationPorts: [9] }]]]);
  });

  it.each<[string, PolicyMatch]>([
    ["an exact principal", principal],
    ["a principal prefix", { principals: [{ kind: "prefix", value: "cluster.local/ns/shop/" }] }],
    ["a prefix that is the whole principal", { principals: [{ kind: "prefix", value: WEB }] }],
    ["the empty prefix", { principals: [{ kind: "prefix", value: "" }] }],
    ["a principal suffix", { principals: [{ kind: "suffix", value: "/sa/web" }] }],
    ["a suffix that is the whole namespace", { namespaces: [{ kind: "suffix", value: "shop" }] }],
    ["presence", { principals: [{ kind: "presence" }] }],
    ["a namespace", { namespaces: [{ kind: "exact", value: "shop" }] }],
    ["a service account", { serviceAccounts: [{ namespace: "shop", serviceAccount: "web" }] }],
    ["a source", { sourceIps: ["10.0.0.9/32"] }],
    ["a source prefix", { sourceIps: ["0.0.0.0/0"] }],
    ["a destination", { destinationIps: ["10.0.0.0/24"] }],
    ["a port", { destinationPorts: [80] }],
    ["an exception", { notPrincipals: [{ kind: "exact", value: "other" }] }],
  ])("finds among many others the rule for %s, whatever stands beside it, and not once it is gone", (_what, match) => {
    const others = Array.from({ length: 20 }, (_, n) =>
      aPolicy({
        name: `o${n}`,
        action: "Deny",
        rules: [
          [[{ principals: [{ kind: "exact", value: `other${n}` }] }]],
          [[{ ...match, notDestinationPorts: [80] }]],
          [
            [
              {
                notPrincipals: [
                  { kind: "exact", value: WEB },
                  { kind: "exact", value: `${n}` },
                ],
              },
            ],
          ],
        ],
      }),
    );
    const store = storeOf(...others);
    expect(store.evaluate(fromWeb, destination).kind).toBe("allow");
    store.apply({ policies: [aPolicy({ name: "hit", action: "Deny", rules: [[[match]]] })], removed: [] });
    expect(store.evaluate(fromWeb, destination)).toMatchObject({ kind: "deny", policy: "shop/hit" });
    store.apply({ policies: [], removed: ["shop/hit"] });
    expect(store.evaluate(fromWeb, destination).kind).toBe("allow");
  });

  it("10 000 policies that do not match cost little more than ten", () => {
    const make = (count: number) =>
      storeOf(
        ...Array.from({ length: count }, (_, n) =>
          aPolicy({ name: `p${n}`, action: "Deny", rules: [[[{ ...principal, destinationPorts: [1000 + n] }]]] }),
        ),
      );
    const time = (store: PolicyStore): number => {
      const started = performance.now();
      for (let n = 0; n < 2_000; n++) store.evaluate(fromWeb, destination);
      return performance.now() - started;
    };
    const few = make(10);
    const many = make(10_000);
    time(few);
    // 2 000 linear searches over 10 000 policies would take seconds, each time; others may be at work during some.
    expect(Math.min(...Array.from({ length: 8 }, () => time(many)))).toBeLessThan(200);
  });
});
