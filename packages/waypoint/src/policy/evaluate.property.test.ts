import type { JsonValue } from "@bufbuild/protobuf";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  ANY,
  authorization,
  claim,
  header,
  method,
  notId,
  notRule,
  type PolicySpec,
  path,
  peer,
  policies,
  port,
  request,
  rules,
  rulesOf,
  uriTemplate,
} from "../../test/policy-builders.ts";
import { evaluateHttp } from "./evaluate.ts";
import type { HttpAuthorization, PolicyAttributes, RbacPolicy } from "./model.ts";
import { PolicyFacts } from "./policy-facts.ts";
import { PolicyIndex } from "./policy-index.ts";

const PATHS = ["/", "/a", "/a/b", "/A", "/admin", "/admin;x=1", "/a;p/..;/admin", "/b/c/d"];
const METHODS = ["GET", "POST", "get"];
const ROLES = ["user", "admin", "user,admin", ""];
const ACCOUNTS = ["cart", "web", "a.b", "axb"];
const one = <T>(values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);

const text = (values: readonly string[]): fc.Arbitrary<JsonValue> =>
  fc.oneof(
    one(values).map((exact) => ({ exact })),
    fc.record({ exact: one(values), ignoreCase: fc.constant(true) }),
    one(values.filter((value) => value !== "")).map((value) => ({ prefix: value.slice(0, 2) })),
    one(values.filter((value) => value !== "")).map((value) => ({ suffix: value.slice(-2) })),
    one(values).map((value) => ({ safeRegex: { regex: `${value.replace(/[.;]/g, "\\$&")}.*` } })),
    fc.constant({ safeRegex: { regex: ".+" } }),
  );

const principals = ACCOUNTS.map((account) => `spiffe://cluster.local/ns/shop/sa/${account}`);
const operation: fc.Arbitrary<JsonValue> = fc.oneof(
  text(PATHS).map(path),
  one(METHODS).map(method),
  text(ROLES).map((match) => header("x-role", match)),
  one([80, 81]).map(port),
  one([uriTemplate("/a/*"), { destinationIp: { addressPrefix: "10.96.0.0", prefixLen: 16 } }, ANY]),
);
const source: fc.Arbitrary<JsonValue> = fc.oneof(
  text(principals).map(peer),
  one(ACCOUNTS).map((sa) => peer({ safeRegex: { regex: `spiffe://.+/ns/shop/(.+/|)sa/${sa}(/.+)?` } })),
  one(["shop", "bank"]).map((ns) => peer({ safeRegex: { regex: `.*/ns/${ns}/.*` } })),
  text(ROLES).map((match) => claim(["role"], { stringMatch: match })),
  one([ANY, { directRemoteIp: { addressPrefix: "10.0.0.0", prefixLen: 8 } }]),
);
const negated = (rule: fc.Arbitrary<JsonValue>, negate: (rule: JsonValue) => JsonValue): fc.Arbitrary<JsonValue> =>
  fc.tuple(rule, fc.boolean()).map(([inner, flip]) => (flip ? negate(inner) : inner));
const policy: fc.Arbitrary<PolicySpec> = fc
  .record({
    permissions: fc.array(fc.array(negated(operation, notRule), { minLength: 1, maxLength: 3 }), {
      minLength: 1,
      maxLength: 2,
    }),
    principals: fc.array(fc.array(negated(source, notId), { minLength: 1, maxLength: 2 }), {
      minLength: 1,
      maxLength: 2,
    }),
  })
  .map(({ permissions, principals: sources }) => ({
    permissions: permissions.map((some) => ({ andRules: { rules: some } })),
    principals: sources.map((some) => ({ andIds: { ids: some } })),
  }));
const specs = fc
  .array(policy, { maxLength: 14 })
  .map((list) => Object.fromEntries(list.map((spec, index) => [`p${index}`, spec])));

const attributes: fc.Arbitrary<PolicyAttributes> = fc
  .record({
    path: one(PATHS),
    method: one(METHODS),
    roles: fc.array(one(ROLES), { maxLength: 3 }),
    role: fc.option(one(ROLES), { nil: undefined }),
    peerPrincipal: fc.option(one(principals), { nil: undefined }),
    destinationPort: one([80, 81]),
  })
  .map(({ roles, role, peerPrincipal, destinationPort, ...target }) => {
    const extra = roles.map((value) => ["x-role", value] as const);
    const claims = role === undefined ? undefined : { role };
    return request({ ...target, extra, claims }, { peerPrincipal, destinationPort });
  });

const permits = (policy: HttpAuthorization, asked: PolicyAttributes): boolean =>
  evaluateHttp(policy, asked).kind === "permit";

describe("policies", () => {
  it("a DENY more never allows more", () => {
    fc.assert(
      fc.property(specs, specs, policy, attributes, (deny, allow, extra, asked) => {
        const allows = rules("ALLOW", allow);
        const before = permits(authorization(rules("DENY", deny), allows), asked);
        const after = permits(authorization(rules("DENY", { ...deny, extra }), allows), asked);
        expect(after && !before).toBe(false);
      }),
    );
  });

  it("an ALLOW more never refuses what another ALLOW matched", () => {
    fc.assert(
      fc.property(specs, specs, policy, attributes, (deny, allow, extra, asked) => {
        const denies = rules("DENY", deny);
        const before = permits(authorization(denies, rules("ALLOW", { ...allow, p: {} })), asked);
        expect(permits(authorization(denies, rules("ALLOW", { ...allow, p: {}, extra })), asked)).toBe(before);
        const alone = permits(authorization(denies, rules("ALLOW", allow)), asked);
        if (alone) expect(permits(authorization(denies, rules("ALLOW", { ...allow, extra })), asked)).toBe(true);
      }),
    );
  });

  it("what is only tried never changes the verdict", () => {
    fc.assert(
      fc.property(
        specs,
        specs,
        fc.constantFrom("ALLOW", "DENY", "LOG"),
        attributes,
        (enforced, tried, action, asked) => {
          const sets = rules("ALLOW", enforced);
          const shadow = rulesOf({ shadowRules: { action, policies: policies(tried) } });
          expect(permits(authorization(shadow, sets), asked)).toBe(permits(authorization(sets), asked));
          expect(permits(authorization(shadow), asked)).toBe(true);
        },
      ),
    );
  });

  it("case 33: leaving something out never turns a refusal into a permit by ALLOW", () => {
    fc.assert(
      fc.property(specs, attributes, (allow, asked) => {
        const sets = authorization(rules("ALLOW", allow));
        const without = { ...asked, peerPrincipal: undefined };
        // Presence of a principal is a question with an answer; every other one about it is not.
        if (JSON.stringify(allow).includes('".+"')) return;
        expect(permits(sets, without) && !permits(sets, asked)).toBe(false);
      }),
    );
  });

  it("the index finds a policy exactly when one matches", () => {
    fc.assert(
      fc.property(specs, fc.constantFrom("ALLOW" as const, "DENY" as const), attributes, (list, action, asked) => {
        const found = rules(action, list)[0]?.enforced ?? [];
        const facts = PolicyFacts.of(asked);
        // Copies are below the number worth an index, each in an index of its own.
        const matches = found.some((each: RbacPolicy) => each.matches(facts));
        const many = [...found, ...Array.from({ length: 9 }, () => never)];
        const result = new PolicyIndex(many).findMatch(facts);
        expect(result !== undefined).toBe(matches);
        if (result !== undefined) expect(result.matches(facts)).toBe(true);
      }),
      { numRuns: 400 },
    );
  });
});

const never: RbacPolicy = { name: "never", matches: () => false };
