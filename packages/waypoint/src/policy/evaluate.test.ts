import { describe, expect, it } from "@jest/globals";
import {
  ANY,
  authorization,
  claim,
  header,
  method,
  notId,
  notRule,
  path,
  peer,
  policies,
  port,
  request,
  rules,
  rulesOf,
} from "../../test/policy-builders.ts";
import { evaluateHttp, evaluateTcp } from "./evaluate.ts";
import { EVERY_REQUEST } from "./from-proto.ts";
import type { HttpAuthorization, PolicyAttributes } from "./model.ts";

const outcome = (policy: HttpAuthorization, attributes: PolicyAttributes): string => {
  const verdict = evaluateHttp(policy, attributes);
  return verdict.kind === "permit" ? "permit" : verdict.code;
};
const GET_ONLY = rules("ALLOW", { "only-get": { permissions: [method("GET")] } });

describe("the order of actions", () => {
  it("permits when there is no policy", () => {
    expect(outcome(authorization(), request())).toBe("permit");
  });

  it("names the ALLOW policy that matched", () => {
    expect(evaluateHttp(authorization(GET_ONLY), request())).toMatchObject({ kind: "permit", policy: "shop/only-get" });
  });

  it("refuses what no ALLOW policy matches", () => {
    expect(evaluateHttp(authorization(GET_ONLY), request({ method: "POST" }))).toMatchObject({
      code: "POLICY_NOT_ALLOWED",
      policy: undefined,
    });
  });

  it("asks DENY before ALLOW wherever it is listed", () => {
    const deny = rules("DENY", { "no-admin": { permissions: [path({ prefix: "/admin" })] } });
    for (const order of [authorization(deny, GET_ONLY), authorization(GET_ONLY, deny)]) {
      expect(evaluateHttp(order, request({ path: "/admin/x" }))).toMatchObject({
        code: "POLICY_DENIED",
        policy: "shop/no-admin",
      });
    }
  });

  it("audits without deciding", () => {
    const audit = rules("LOG", { watch: {} });
    expect(evaluateHttp(authorization(audit), request())).toMatchObject({ kind: "permit", audited: ["shop/watch"] });
    expect(evaluateHttp(authorization(audit, GET_ONLY), request({ method: "PUT" }))).toMatchObject({
      kind: "refuse",
      audited: ["shop/watch"],
    });
  });

  it("wants a yes of every ALLOW filter", () => {
    const other = rules("ALLOW", { b: { permissions: [path({ exact: "/ok" })] } });
    expect(outcome(authorization(GET_ONLY, other), request())).toBe("POLICY_NOT_ALLOWED");
    expect(outcome(authorization(GET_ONLY, other), request({ path: "/ok" }))).toBe("permit");
  });
});

describe("case 33: empty rules and missing attributes", () => {
  const never = { permissions: [{ notRule: ANY }], principals: [{ notId: ANY }] };

  it.each([
    ["ALLOW without policies denies everything", rulesOf({ rules: { action: "ALLOW" } }), "POLICY_NOT_ALLOWED"],
    ["DENY without policies denies nothing", rulesOf({ rules: { action: "DENY" } }), "permit"],
    ["an ALLOW policy without rules denies everything", rules("ALLOW", { empty: never }), "POLICY_NOT_ALLOWED"],
    ["a DENY policy without rules denies nothing", rules("DENY", { empty: never }), "permit"],
    ["an ALLOW rule of nothing allows everything", rules("ALLOW", { all: {} }), "permit"],
    ["a DENY rule of nothing denies everything", rules("DENY", { all: {} }), "POLICY_DENIED"],
    ["no rules at all enforce nothing", rulesOf({}), "permit"],
  ])("case 33: %s", (_, sets, expected) => {
    expect(outcome(authorization(sets), request())).toBe(expected);
  });

  const anonymous = (): PolicyAttributes => request({}, { peerPrincipal: undefined });
  const other = { exact: "spiffe://cluster.local/ns/x/sa/y" };
  const notOther = { principals: [notId(peer(other))] };

  it("case 33: a not of a missing attribute does not allow", () => {
    expect(outcome(authorization(rules("ALLOW", { a: notOther })), anonymous())).toBe("POLICY_NOT_ALLOWED");
    expect(outcome(authorization(rules("ALLOW", { a: notOther })), request())).toBe("permit");
  });

  it("case 33: a not of a missing attribute denies", () => {
    expect(outcome(authorization(rules("DENY", { a: notOther })), anonymous())).toBe("POLICY_DENIED");
  });

  it("case 33: a missing attribute does not trip a DENY that names it", () => {
    expect(outcome(authorization(rules("DENY", { a: { principals: [peer(other)] } })), anonymous())).toBe("permit");
  });

  it.each([
    ["header", notRule(header("x-role", { exact: "admin" }))],
    ["claim", notRule(claim(["role"], { stringMatch: { exact: "admin" } }))],
    ["server name", notRule({ requestedServerName: { exact: "a.example" } })],
  ])("case 33: a not of a missing %s does not allow and does deny", (_, rule) => {
    expect(outcome(authorization(rules("ALLOW", { a: { permissions: [rule] } })), request())).toBe(
      "POLICY_NOT_ALLOWED",
    );
    expect(outcome(authorization(rules("DENY", { a: { permissions: [rule] } })), request())).toBe("POLICY_DENIED");
  });

  it("case 33: whether something is there at all is never in doubt", () => {
    const without = { principals: [notId(claim(["iss"], { stringMatch: { safeRegex: { regex: ".+" } } }))] };
    expect(outcome(authorization(rules("ALLOW", { a: without })), request())).toBe("permit");
    expect(outcome(authorization(rules("ALLOW", { a: without })), request({ claims: { iss: "x" } }))).toBe(
      "POLICY_NOT_ALLOWED",
    );
  });

  it("case 33: a known alternative decides whatever else is missing", () => {
    const either = { permissions: [{ orRules: { rules: [notRule(header("x", { exact: "1" })), method("GET")] } }] };
    expect(outcome(authorization(rules("ALLOW", { a: either })), request())).toBe("permit");
    const both = { permissions: [{ andRules: { rules: [notRule(header("x", { exact: "1" })), method("GET")] } }] };
    expect(outcome(authorization(rules("ALLOW", { a: both })), request())).toBe("POLICY_NOT_ALLOWED");
  });
});

describe("case 31: repeated headers", () => {
  const roles = (...values: string[]): PolicyAttributes =>
    request({ extra: values.map((value) => ["x-role", value] as const) });
  const exact = (role: string) => header("x-role", { exact: role });

  it.each([
    ["any value trips a DENY", rules("DENY", { a: { permissions: [exact("admin")] } }), "POLICY_DENIED"],
    ["all joined trips a DENY", rules("DENY", { a: { permissions: [exact("user,admin")] } }), "POLICY_DENIED"],
    [
      "one bad value trips DENY notValues",
      rules("DENY", { a: { permissions: [notRule(exact("user"))] } }),
      "POLICY_DENIED",
    ],
    ["ALLOW wants all joined", rules("ALLOW", { a: { permissions: [exact("user")] } }), "POLICY_NOT_ALLOWED"],
    ["ALLOW takes all joined", rules("ALLOW", { a: { permissions: [exact("user,admin")] } }), "permit"],
    [
      "any value spoils ALLOW notValues",
      rules("ALLOW", { a: { permissions: [notRule(exact("admin"))] } }),
      "POLICY_NOT_ALLOWED",
    ],
  ])("case 31: %s", (_, sets, expected) => {
    expect(outcome(authorization(sets), roles("user", "admin"))).toBe(expected);
  });

  it("case 31: a value that only joins the others trips DENY notValues", () => {
    const deny = rules("DENY", { a: { permissions: [notRule(header("x-role", { prefix: "us" }))] } });
    expect(outcome(authorization(deny), roles("user", "admin"))).toBe("POLICY_DENIED");
    expect(outcome(authorization(deny), roles("user", "usher"))).toBe("permit");
  });

  it("case 31: an inverted matcher leans the other way too", () => {
    const inverted = { header: { name: "x-role", stringMatch: { exact: "user" }, invertMatch: true } };
    const deny = authorization(rules("DENY", { a: { permissions: [inverted] } }));
    expect(outcome(deny, roles("user", "admin"))).toBe("POLICY_DENIED");
    expect(outcome(deny, roles("user"))).toBe("permit");
  });

  it("case 32: the method is compared as it is", () => {
    expect(outcome(authorization(GET_ONLY), request({ method: "get" }))).toBe("POLICY_NOT_ALLOWED");
  });
});

describe("case 28: path parameters", () => {
  const denyAdmin = authorization(rules("DENY", { a: { permissions: [path({ exact: "/admin" })] } }));
  const allowPublic = authorization(rules("ALLOW", { a: { permissions: [path({ prefix: "/public/" })] } }));
  const onlyPublic = authorization(rules("DENY", { a: { permissions: [notRule(path({ prefix: "/public/" }))] } }));

  it.each(["/admin", "/admin;x=y", "/;a/admin;b", "/x/..;/admin"])(
    "case 28: %s does not slip past a DENY",
    (target) => {
      expect(outcome(denyAdmin, request({ path: target }))).toBe("POLICY_DENIED");
    },
  );

  it.each(["/public/..;/admin", "/public/.;x/a"])("case 28: %s gains nothing from an ALLOW of a prefix", (target) => {
    expect(outcome(allowPublic, request({ path: target }))).toBe("POLICY_NOT_ALLOWED");
    expect(outcome(onlyPublic, request({ path: target }))).toBe("POLICY_DENIED");
  });

  it("leaves honest parameters alone", () => {
    expect(outcome(allowPublic, request({ path: "/public/a;v=1" }))).toBe("permit");
    expect(outcome(onlyPublic, request({ path: "/public/a;v=1" }))).toBe("permit");
  });
});

describe("case 34: literals", () => {
  it.each([
    ["a dot in a principal", peer({ exact: "spiffe://cluster.local/ns/shop/sa/a.b" }), "a.b", "axb"],
    ["a star in a principal", peer({ exact: "spiffe://cluster.local/ns/shop/sa/*" }), undefined, "cart"],
    [
      "a dot istiod forgot to escape",
      peer({ safeRegex: { regex: "spiffe://.+/ns/shop/(.+/|)sa/a.b(/.+)?" } }),
      "a.b",
      "axb",
    ],
    ["a dot istiod escaped", peer({ safeRegex: { regex: "spiffe://.+/ns/shop/(.+/|)sa/a\\.b(/.+)?" } }), "a.b", "axb"],
    ["a prefix ends where it ends", peer({ prefix: "spiffe://cluster.local/ns/shop/sa/car" }), "cart", "other"],
  ])("case 34: %s", (_, principal, matching, different) => {
    const allow = authorization(rules("ALLOW", { a: { principals: [principal] } }));
    const by = (account: string) =>
      outcome(allow, request({}, { peerPrincipal: `spiffe://cluster.local/ns/shop/sa/${account}` }));
    if (matching !== undefined) expect(by(matching)).toBe("permit");
    expect(by(different)).toBe("POLICY_NOT_ALLOWED");
  });

  it("case 34: a service account is one of its namespace", () => {
    const regex = "spiffe://.+/ns/shop/(.+/|)sa/cart(/.+)?";
    const allow = authorization(rules("ALLOW", { a: { principals: [peer({ safeRegex: { regex } })] } }));
    const by = (namespace: string) =>
      outcome(allow, request({}, { peerPrincipal: `spiffe://cluster.local/ns/${namespace}/sa/cart` }));
    expect(by("shop")).toBe("permit");
    expect(by("bank")).toBe("POLICY_NOT_ALLOWED");
  });

  it("case 34: a namespace is compared whole", () => {
    const allow = authorization(
      rules("ALLOW", { a: { principals: [peer({ safeRegex: { regex: ".*/ns/shop/.*" } })] } }),
    );
    const by = (namespace: string) =>
      outcome(allow, request({}, { peerPrincipal: `spiffe://cluster.local/ns/${namespace}/sa/ns` }));
    expect(by("shop")).toBe("permit");
    expect(by("shop-2")).toBe("POLICY_NOT_ALLOWED");
    expect(by("a-shop")).toBe("POLICY_NOT_ALLOWED");
  });

  it("refuses a peer whose principal has another form once there are policies", () => {
    const strange = request({}, { peerPrincipal: "spiffe://cluster.local/extra/ns/shop/sa/cart" });
    const deny = rules("DENY", { a: { principals: [peer({ safeRegex: { regex: ".*/ns/shop/.*" } })] } });
    expect(outcome(authorization(deny), strange)).toBe("POLICY_DENIED");
  });
});

describe("case 35: patterns", () => {
  it("case 35: a hostile pattern takes linear time", () => {
    const nested = authorization(rules("DENY", { a: { permissions: [path({ safeRegex: { regex: "/(a+)+$" } })] } }));
    const startedAt = performance.now();
    expect(outcome(nested, request({ path: `/${"a".repeat(5000)}!` }))).toBe("permit");
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  it("case 35: a text too long for a pattern is refused, by DENY and by ALLOW", () => {
    const regex = "(x?){200}.{200}.*"; // many instructions, so few characters
    const long = request({ path: `/${"x".repeat(400_000)}` });
    const costly = { a: { permissions: [path({ safeRegex: { regex } })] } };
    expect(outcome(authorization(rules("DENY", costly)), long)).toBe("POLICY_DENIED");
    expect(outcome(authorization(rules("ALLOW", costly)), long)).toBe("POLICY_NOT_ALLOWED");
    expect(outcome(authorization(rules("ALLOW", { ...costly, b: {} })), long)).toBe("permit");
  });
});

describe("dry run", () => {
  const shadow = (action: "ALLOW" | "DENY", specs: Parameters<typeof policies>[0]) =>
    rulesOf({ shadowRules: { action, policies: policies(specs) }, shadowRulesStatPrefix: "istio_dry_run_allow_" });

  it("tells and does not decide", () => {
    expect(evaluateHttp(authorization(shadow("DENY", { d: {} })), request())).toMatchObject({
      kind: "permit",
      dryRun: ["dry run: shop/d would deny"],
    });
    expect(
      evaluateHttp(authorization(shadow("ALLOW", { a: { permissions: [method("PUT")] } })), request()),
    ).toMatchObject({
      kind: "permit",
      dryRun: ["dry run: no ALLOW policy matches, would deny"],
    });
    expect(evaluateHttp(authorization(shadow("ALLOW", { a: {} }), GET_ONLY), request({ method: "PUT" }))).toMatchObject(
      {
        kind: "refuse",
        dryRun: ["dry run: shop/a would allow"],
      },
    );
  });

  it("tells of rules without a policy", () => {
    const empty = rulesOf({ shadowRules: { action: "ALLOW" } });
    expect(evaluateHttp(authorization(empty), request())).toMatchObject({
      kind: "permit",
      dryRun: ["dry run: no ALLOW policy matches, would deny"],
    });
  });
});

describe("connections", () => {
  const tcp = (): PolicyAttributes => ({ ...request(), http: undefined });

  it("judges what a connection shows", () => {
    const allow = authorization(rules("ALLOW", { a: { permissions: [port(80)] } }));
    expect(evaluateTcp(allow, tcp()).kind).toBe("permit");
    expect(evaluateTcp(allow, { ...tcp(), destinationPort: 81 }).kind).toBe("refuse");
  });

  it("never allows by what only HTTP has", () => {
    expect(evaluateTcp(authorization(GET_ONLY), tcp()).kind).toBe("refuse");
    const without = authorization(rules("ALLOW", { a: { permissions: [notRule(path({ exact: "/x" }))] } }));
    expect(evaluateTcp(without, tcp()).kind).toBe("refuse");
  });
});

describe("HTTP conditions on a connection", () => {
  const absent = { header: { name: "x", presentMatch: false } };
  it("are missing, not absent", () => {
    const tcp = { ...request(), http: undefined };
    expect(evaluateTcp(authorization(rules("ALLOW", { a: { permissions: [absent] } })), tcp).kind).toBe("refuse");
    expect(evaluateTcp(authorization(rules("ALLOW", { a: { permissions: [notRule(absent)] } })), tcp).kind).toBe(
      "refuse",
    );
    expect(evaluateTcp(authorization(rules("DENY", { a: { permissions: [notRule(absent)] } })), tcp).kind).toBe(
      "refuse",
    );
  });
});

describe("an external authorizer that was not asked", () => {
  it("refuses what concerns it", () => {
    const custom = [{ when: EVERY_REQUEST, dryRun: false, provider: {} as never }];
    expect(evaluateHttp({ custom, rules: [] }, request()).kind).toBe("refuse");
    expect(evaluateHttp({ custom: [{ ...custom[0]!, dryRun: true }], rules: [] }, request()).kind).toBe("permit");
    expect(evaluateHttp({ custom: [{ ...custom[0]!, when: [] }], rules: [] }, request()).kind).toBe("permit");
  });
});
