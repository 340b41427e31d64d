import type { KubeObject } from "@ambit/shared/kube";
import { ipOf } from "@ambit/shared/net";
import { matchesPolicy, type PolicyConnection } from "@ambit/shared/policy";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { compileAuthorization } from "./compile-authorization.ts";

const object = (spec: unknown): KubeObject =>
  ({
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { name: "p", namespace: "a" },
    spec,
  }) as KubeObject;

const field = (name: string, values: readonly string[]) =>
  fc.record({ [name]: fc.array(fc.constantFrom(...values), { minLength: 1, maxLength: 2 }) });
const source = fc.oneof(
  field("namespaces", ["a", "b"]),
  field("notNamespaces", ["a", "b"]),
  field("ipBlocks", ["10.0.0.0/8", "192.0.2.1"]),
  field("notPrincipals", ["*", "cluster.local/ns/a/*"]),
);
const operation = fc.oneof(field("ports", ["80", "443"]), field("notPorts", ["80"]));
const rule = fc.record(
  {
    from: fc.array(fc.record({ source }), { minLength: 1, maxLength: 2 }),
    to: fc.array(fc.record({ operation }), { minLength: 1, maxLength: 2 }),
  },
  { requiredKeys: [] },
);
const rules = fc.array(rule, { minLength: 1, maxLength: 3 });
const connection = fc
  .record({
    namespace: fc.constantFrom("a", "b", undefined),
    sourceIp: fc.constantFrom("10.0.0.1", "192.0.2.1"),
    port: fc.constantFrom(80, 443, 9),
  })
  .map(
    ({ namespace, sourceIp, port }): PolicyConnection => ({
      ...(namespace && { identity: { trustDomain: "cluster.local", namespace, serviceAccount: "s" } }),
      sourceIp: ipOf(sourceIp),
      sourcePort: 40000,
      destinationIp: ipOf("10.9.9.9"),
      destinationPort: port,
    }),
  );

/** Puts something L4 cannot judge, or nobody can read, somewhere into the rules. */
const spoil = fc.record({
  rule: fc.nat(2),
  item: fc.nat(1),
  where: fc.constantFrom("from", "to", "when"),
  bad: fc.constantFrom(
    { methods: ["GET"] },
    { requestPrincipals: ["*"] },
    { ipBlocks: ["300.1.1.1"] },
    { notPorts: ["x"] },
    { what: 1 },
  ),
});

type Rule = { from?: { source: object }[]; to?: { operation: object }[]; when?: object[] };

function spoiled(given: readonly Rule[], how: { rule: number; item: number; where: string; bad: object }): Rule[] {
  const copy = structuredClone(given) as Rule[];
  const target = copy[how.rule % copy.length] as Rule;
  const from = target.from?.[how.item % target.from.length];
  const to = target.to?.[how.item % target.to.length];
  if (how.where === "from" && from) Object.assign(from.source, how.bad);
  else if (how.where === "to" && to) Object.assign(to.operation, how.bad);
  else target.when = [{ key: "request.headers[x]", values: ["y"] }];
  return copy;
}

const fires = (action: string, given: unknown, on: PolicyConnection): boolean => {
  const { policy } = compileAuthorization(object({ action, rules: given }), "istio-system");
  return policy !== undefined && matchesPolicy(policy, on);
};

describe("compiled policies against their exact meaning", () => {
  it("a DENY with something added that cannot be judged still denies at least what it denied with it left unread", () => {
    // Adding a condition to a rule narrows it; not being able to judge the condition must therefore keep the whole rule.
    fc.assert(
      fc.property(rules, spoil, connection, (given, how, on) => {
        if (fires("DENY", given, on)) expect(fires("DENY", spoiled(given, how), on)).toBe(true);
      }),
    );
  });

  it("an ALLOW with such a thing added never allows what it did not allow before", () => {
    fc.assert(
      fc.property(rules, spoil, connection, (given, how, on) => {
        if (!fires("ALLOW", given, on)) expect(fires("ALLOW", spoiled(given, how), on)).toBe(false);
      }),
    );
  });

  it("compiling is total, whatever the spec", () => {
    const names = fc.constantFrom(
      "rules",
      "from",
      "to",
      "when",
      "source",
      "operation",
      "principals",
      "ports",
      "selector",
      "matchLabels",
      "action",
      "key",
      "values",
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 6 },
        fc.jsonValue({ maxDepth: 1 }),
        fc.dictionary(names, tie("tree"), { maxKeys: 4 }),
        fc.array(tie("tree"), { maxLength: 3 }),
      ),
    }));
    fc.assert(
      fc.property(
        fc.dictionary(names, tree, { maxKeys: 5 }),
        fc.constantFrom("ALLOW", "DENY", "CUSTOM", "x"),
        (spec, action) => {
          const compiled = compileAuthorization(object({ action, ...spec }), "istio-system");
          expect(typeof compiled.condition.message).toBe("string");
        },
      ),
    );
  });
});
