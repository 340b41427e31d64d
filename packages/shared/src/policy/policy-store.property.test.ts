import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { principalOf } from "../identity/index.ts";
import { cidrContains, ipOf, parseCidr } from "../net/index.ts";
import {
  type AuthorizationPolicy,
  matchesPolicy,
  type PolicyConnection,
  type PolicyMatch,
  PolicyStore,
  policyKey,
  type StringMatch,
  type Verdict,
} from "./index.ts";

// Few values per field, so that policies and connections meet.
const NAMESPACES = ["shop", "bank", "shop-eu"];
const ACCOUNTS = ["web", "cart"];
const PRINCIPALS = ["td/ns/shop/sa/web", "td/ns/shop/sa/cart", "td/ns/bank/sa/web", "td2/ns/shop/sa/web"];
const CIDRS = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "0.0.0.0/0", "fd00::/8", "::/0", "192.168.0.0/24"];
const IPS = ["10.0.0.1", "10.1.2.3", "192.168.0.7", "fd00::1", "2001:db8::1"];
const PORTS = [80, 443, 8080];

const text = (values: readonly string[], prefixes: readonly string[]): fc.Arbitrary<StringMatch> =>
  fc.oneof(
    fc.constantFrom(...values).map((value): StringMatch => ({ kind: "exact", value })),
    fc.constantFrom(...prefixes, "").map((value): StringMatch => ({ kind: "prefix", value })),
    fc.constantFrom("/sa/web", "web", "shop", "").map((value): StringMatch => ({ kind: "suffix", value })),
    fc.constant<StringMatch>({ kind: "presence" }),
  );
const listOf = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 2 });
const namespaceText = text([...NAMESPACES, ""], ["sh", "shop", "b"]);
const principalText = text(PRINCIPALS, ["td/", "td/ns/shop/", "td2"]);
const account = fc.record({ namespace: fc.constantFrom(...NAMESPACES), serviceAccount: fc.constantFrom(...ACCOUNTS) });
const cidr = fc.constantFrom(...CIDRS);
const port = fc.constantFrom(...PORTS);

const match: fc.Arbitrary<PolicyMatch> = fc.record(
  {
    namespaces: listOf(namespaceText),
    notNamespaces: listOf(namespaceText),
    principals: listOf(principalText),
    notPrincipals: listOf(principalText),
    serviceAccounts: listOf(account),
    notServiceAccounts: listOf(account),
    sourceIps: listOf(cidr),
    notSourceIps: listOf(cidr),
    destinationIps: listOf(cidr),
    notDestinationIps: listOf(cidr),
    destinationPorts: listOf(port),
    notDestinationPorts: listOf(port),
  },
  { requiredKeys: [] },
);
const policy: fc.Arbitrary<AuthorizationPolicy> = fc.record({
  name: fc.constantFrom("a", "b", "c", "d", "e", "f"),
  namespace: fc.constantFrom(...NAMESPACES),
  scope: fc.constantFrom("Global", "Namespace", "WorkloadSelector"),
  action: fc.constantFrom("Allow", "Deny"),
  dryRun: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  rules: fc.array(fc.array(fc.array(match, { maxLength: 2 }), { maxLength: 2 }), { maxLength: 3 }),
});
const connection: fc.Arbitrary<PolicyConnection> = fc
  .record({
    sourceIp: fc.constantFrom(...IPS).map(ipOf),
    sourcePort: fc.constant(40_000),
    destinationIp: fc.constantFrom(...IPS).map(ipOf),
    destinationPort: port,
    identity: fc.option(
      fc.record({
        trustDomain: fc.constantFrom("td", "td2"),
        namespace: fc.constantFrom(...NAMESPACES),
        serviceAccount: fc.constantFrom(...ACCOUNTS),
      }),
      { nil: undefined },
    ),
  })
  .map(({ identity, ...rest }) => (identity ? { ...rest, identity } : rest));
const destination = fc.record({
  namespace: fc.constantFrom(...NAMESPACES),
  authorizationPolicies: fc.array(
    fc.tuple(fc.constantFrom(...NAMESPACES), fc.constantFrom("a", "b", "c", "d")).map(([ns, name]) => `${ns}/${name}`),
    { maxLength: 3 },
  ),
});

// The definition, as naively as it can be written: it shares nothing with the code under test but the model.
const textHits = (list: readonly StringMatch[], value: string | undefined): boolean =>
  value !== undefined &&
  list.some((entry) => {
    if (entry.kind === "presence") return value !== "";
    if (entry.kind === "exact") return value === entry.value;
    return entry.kind === "prefix" ? value.startsWith(entry.value) : value.endsWith(entry.value);
  });
const naiveMatch = (m: PolicyMatch, c: PolicyConnection): boolean => {
  const principal = c.identity && principalOf(c.identity);
  const inside = (list: readonly string[], ip: PolicyConnection["sourceIp"]) =>
    list.some((entry) => {
      const parsed = parseCidr(entry);
      return parsed.ok && cidrContains(parsed.value, ip);
    });
  const hasAccount = (list: NonNullable<PolicyMatch["serviceAccounts"]>) =>
    list.some((a) => a.namespace === c.identity?.namespace && a.serviceAccount === c.identity.serviceAccount);
  const fields: [readonly unknown[] | undefined, boolean, () => boolean][] = [
    [m.namespaces, true, () => textHits(m.namespaces ?? [], c.identity?.namespace ?? "")],
    [m.notNamespaces, false, () => textHits(m.notNamespaces ?? [], c.identity?.namespace ?? "")],
    [m.principals, true, () => textHits(m.principals ?? [], principal)],
    [m.notPrincipals, false, () => textHits(m.notPrincipals ?? [], principal)],
    [m.serviceAccounts, true, () => hasAccount(m.serviceAccounts ?? [])],
    [m.notServiceAccounts, false, () => hasAccount(m.notServiceAccounts ?? [])],
    [m.sourceIps, true, () => inside(m.sourceIps ?? [], c.sourceIp)],
    [m.notSourceIps, false, () => inside(m.notSourceIps ?? [], c.sourceIp)],
    [m.destinationIps, true, () => inside(m.destinationIps ?? [], c.destinationIp)],
    [m.notDestinationIps, false, () => inside(m.notDestinationIps ?? [], c.destinationIp)],
    [m.destinationPorts, true, () => (m.destinationPorts ?? []).includes(c.destinationPort)],
    [m.notDestinationPorts, false, () => (m.notDestinationPorts ?? []).includes(c.destinationPort)],
  ];
  const set = fields.filter(([list]) => list && list.length > 0);
  return set.length > 0 && set.every(([, wanted, hits]) => hits() === wanted);
};
const naivePolicy = (p: AuthorizationPolicy, c: PolicyConnection): boolean =>
  p.rules.some((rule) => rule.every((clause) => clause.length === 0 || clause.some((m) => naiveMatch(m, c))));

interface Destination {
  readonly namespace: string;
  readonly authorizationPolicies: readonly string[];
}
const naiveVerdict = (policies: readonly AuthorizationPolicy[], c: PolicyConnection, d: Destination): string => {
  const held = new Map(policies.map((p) => [policyKey(p), p]));
  const applying = [...held.values()].filter(
    (p) =>
      p.scope === "Global" ||
      (p.scope === "Namespace" && p.namespace === d.namespace) ||
      d.authorizationPolicies.includes(policyKey(p)),
  );
  const enforced = applying.filter((p) => !p.dryRun);
  const allows = enforced.filter((p) => p.action === "Allow");
  if (enforced.some((p) => p.action === "Deny" && naivePolicy(p, c))) return "POLICY_DENIED";
  if (d.authorizationPolicies.some((key) => !held.has(key))) return "POLICY_MISSING";
  if (allows.length === 0 || allows.some((p) => naivePolicy(p, c))) return "allow";
  return "POLICY_NOT_ALLOWED";
};

const outcome = (verdict: Verdict): string => (verdict.kind === "allow" ? "allow" : verdict.code);
const policies = fc.array(policy, { maxLength: 12 });
const storeOf = (list: readonly AuthorizationPolicy[]): PolicyStore => {
  const store = new PolicyStore();
  store.apply({ policies: list, removed: [] });
  return store;
};

describe("PolicyStore", () => {
  it("judges like the naive definition, for any policies and connection", () => {
    fc.assert(
      fc.property(policies, connection, destination, (list, c, d) => {
        const verdict = storeOf(list).evaluate(c, d);
        expect(outcome(verdict)).toBe(naiveVerdict(list, c, d));
        const named = list.findLast((p) => policyKey(p) === verdict.policy);
        if (named && outcome(verdict) !== "POLICY_MISSING") expect(naivePolicy(named, c)).toBe(true);
      }),
      { numRuns: 600 },
    );
  });

  it("judges by what is held now, after any sequence of updates and removals", () => {
    const deltas = fc.array(
      fc.record({
        policies: fc.array(policy, { maxLength: 4 }),
        removed: fc.array(policy.map(policyKey), { maxLength: 3 }),
      }),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(deltas, connection, destination, (list, c, d) => {
        const store = new PolicyStore();
        const held = new Map<string, AuthorizationPolicy>();
        for (const delta of list) {
          store.apply(delta);
          for (const p of delta.policies) held.set(policyKey(p), p);
          for (const key of delta.removed) held.delete(key);
          // The same destination object each time: its cached list has to keep up.
          expect(outcome(store.evaluate(c, d))).toBe(naiveVerdict([...held.values()], c, d));
        }
        expect(store.size).toBe(held.size);
      }),
      { numRuns: 150 },
    );
  });

  it("matches a single policy like the naive definition", () => {
    fc.assert(
      fc.property(policy, connection, (p, c) => expect(matchesPolicy(p, c)).toBe(naivePolicy(p, c))),
      { numRuns: 500 },
    );
  });

  it("never allows more when a DENY is added", () => {
    fc.assert(
      fc.property(policies, policy, connection, destination, (list, extra, c, d) => {
        const before = storeOf(list).evaluate(c, d);
        const unused = { ...extra, name: "new", action: "Deny" as const };
        const after = storeOf([...list, unused]).evaluate(c, d);
        if (before.kind === "deny") expect(after.kind).toBe("deny");
      }),
      { numRuns: 150 },
    );
  });

  it("never denies what an ALLOW matched before when an ALLOW is added", () => {
    fc.assert(
      fc.property(policies, policy, connection, destination, (list, extra, c, d) => {
        const before = storeOf(list).evaluate(c, d);
        const unused = { ...extra, name: "new", action: "Allow" as const };
        const after = storeOf([...list, unused]).evaluate(c, d);
        if (before.kind === "allow" && before.policy !== undefined) expect(after.kind).toBe("allow");
      }),
      { numRuns: 150 },
    );
  });

  it("ignores dry-run policies in the judgement", () => {
    fc.assert(
      fc.property(policies, connection, destination, (list, c, d) => {
        const all = storeOf(list).evaluate(c, d);
        const keys = new Map(list.map((p) => [policyKey(p), p]));
        const enforced = [...keys.values()].filter((p) => !p.dryRun);
        const listed = d.authorizationPolicies.filter((key) => !keys.get(key)?.dryRun);
        const without = storeOf(enforced).evaluate(c, { ...d, authorizationPolicies: listed });
        expect(outcome(all)).toBe(outcome(without));
      }),
      { numRuns: 150 },
    );
  });
});
