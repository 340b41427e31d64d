import type { KubeObject, ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import { compileAuthorization } from "./compile-authorization.ts";
import { pod, TestMesh } from "./test-objects.ts";

/** Compiles a spec given as plain data, so that shapes no parser would let through can be tried too. */
function compile(spec: unknown, more: Partial<KubeObject["metadata"]> = {}) {
  const object = {
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { name: "p", namespace: "shop", ...more },
    spec,
  } as KubeObject;
  return compileAuthorization(object, "istio-system");
}
const rulesOf = (action: string, rules: unknown) => compile({ action, rules }).policy?.rules;
const exact = (value: string) => ({ kind: "exact", value });
const from = (source: unknown) => [{ from: [{ source }] }];
const to = (operation: unknown) => [{ to: [{ operation }] }];

describe("an AuthorizationPolicy at L4", () => {
  it("keeps the structure: rules ORed, clauses ANDed, matches ORed, fields ANDed", () => {
    const compiled = compile({
      selector: { matchLabels: { app: "web" } },
      action: "ALLOW",
      rules: [
        {
          from: [
            { source: { principals: ["cluster.local/ns/a/sa/b"], namespaces: ["a"] } },
            { source: { ipBlocks: ["10.0.0.0/8"], notIpBlocks: ["10.1.2.3"] } },
          ],
          to: [{ operation: { ports: ["80", "443"] } }],
          when: [{ key: "destination.ip", values: ["10.0.0.0/24"], notValues: ["10.0.0.1"] }],
        },
        {},
      ],
    });
    expect(compiled).toEqual({
      selector: { app: "web" },
      condition: { type: "Accepted", status: "True", reason: "Accepted", message: "enforced by node proxies" },
      policy: {
        name: "p",
        namespace: "shop",
        scope: "WorkloadSelector",
        action: "Allow",
        dryRun: false,
        rules: [
          [
            [
              { principals: [exact("cluster.local/ns/a/sa/b")], namespaces: [exact("a")] },
              { sourceIps: ["10.0.0.0/8"], notSourceIps: ["10.1.2.3/32"] },
            ],
            [{ destinationPorts: [80, 443] }],
            [{ destinationIps: ["10.0.0.0/24"], notDestinationIps: ["10.0.0.1/32"] }],
          ],
          [],
        ],
      },
    });
  });

  it.each([
    ["*", { kind: "presence" }],
    ["a*", { kind: "prefix", value: "a" }],
    ["*a", { kind: "suffix", value: "a" }],
    ["a*b", { kind: "exact", value: "a*b" }],
    ["a.b", { kind: "exact", value: "a.b" }],
    ["spiffe://td/ns/a/sa/b", { kind: "exact", value: "td/ns/a/sa/b" }],
  ])("case 34: principal %j reads as %j, nothing else is special", (text, expected) => {
    expect(rulesOf("DENY", from({ principals: [text] }))).toEqual([[[{ principals: [expected] }]]]);
  });

  it("takes a bare service account as one of its own namespace", () => {
    expect(rulesOf("ALLOW", from({ serviceAccounts: ["a.b", "other/x"] }))).toEqual([
      [
        [
          {
            serviceAccounts: [
              { namespace: "shop", serviceAccount: "a.b" },
              { namespace: "other", serviceAccount: "x" },
            ],
          },
        ],
      ],
    ]);
  });

  it.each([
    ["a namespace's", "shop", {}, "Namespace"],
    ["the mesh's", "istio-system", {}, "Global"],
    ["an empty selector: the namespace's", "shop", { selector: {} }, "Namespace"],
    ["a selector's", "shop", { selector: { matchLabels: { a: "b" } } }, "WorkloadSelector"],
  ])("scope is %s", (_what, namespace, spec, scope) => {
    expect(compile(spec, { namespace }).policy?.scope).toBe(scope);
  });

  it("without rules allows nothing, or denies nothing", () => {
    expect(compile({}).policy).toMatchObject({ action: "Allow", rules: [] });
    expect(compile(undefined).policy).toMatchObject({ action: "Allow", rules: [] });
    expect(compile({ action: "DENY" }).policy).toMatchObject({ action: "Deny", rules: [] });
  });

  it("only logs when its dry-run annotation is true", () => {
    const dryRun = (text: string) => compile({}, { annotations: { "istio.io/dry-run": text } }).policy?.dryRun;
    expect([dryRun("true"), dryRun("T"), dryRun("false"), dryRun("maybe")]).toEqual([true, true, false, false]);
  });

  it("is left to waypoints when it has target references", () => {
    const compiled = compile({ targetRefs: [{ kind: "Gateway", name: "wp" }], action: "DENY" });
    expect(compiled.policy).toBeUndefined();
    expect(compiled.condition).toMatchObject({ status: "False", reason: "WaypointRequired" });
  });
});

describe("what L4 cannot judge", () => {
  const L7 = { methods: ["GET"] };

  it("case 43: a DENY of only HTTP fields denies everything in its scope, and says so", () => {
    const compiled = compile({ action: "DENY", rules: to(L7) });
    expect(compiled.policy?.rules).toEqual([[]]);
    expect(compiled.condition).toMatchObject({ status: "False", reason: "UnsupportedValue" });
    expect(compiled.condition.message).toContain("spec.rules[0].to[0].operation.methods");
  });

  it("case 43: a DENY with HTTP fields keeps its L4 fields", () => {
    expect(rulesOf("DENY", to({ ...L7, ports: ["80"] }))).toEqual([[[{ destinationPorts: [80] }]]]);
    expect(rulesOf("DENY", [{ ...from({ namespaces: ["a"] })[0], ...to(L7)[0] }])).toEqual([
      [[{ namespaces: [exact("a")] }]],
    ]);
    expect(
      rulesOf("DENY", [
        { from: [{ source: { namespaces: ["a"] } }], when: [{ key: "request.headers[x]", values: ["1"] }] },
      ]),
    ).toEqual([[[{ namespaces: [exact("a")] }]]]);
  });

  it("case 43: one match of only HTTP fields makes its whole clause true, not just smaller", () => {
    const rules = [{ to: [{ operation: { ports: ["80"] } }, { operation: L7 }] }];
    expect(rulesOf("DENY", rules)).toEqual([[]]);
  });

  it("an ALLOW rule with HTTP fields allows nothing", () => {
    expect(rulesOf("ALLOW", to({ ...L7, ports: ["80"] }))).toEqual([]);
    expect(rulesOf("ALLOW", [{ to: [{ operation: { ports: ["80"] } }, { operation: L7 }] }])).toEqual([
      [[{ destinationPorts: [80] }]],
    ]);
    expect(rulesOf("ALLOW", [{ when: [{ key: "request.auth.claims[x]", values: ["1"] }] }, {}])).toEqual([[]]);
    expect(compile({ rules: to(L7) }).condition.reason).toBe("UnsupportedValue");
  });

  it("CUSTOM denies what its rules match; AUDIT has no effect; both say so", () => {
    const custom = compile({
      action: "CUSTOM",
      provider: { name: "x" },
      rules: to({ paths: ["/admin"], ports: ["80"] }),
    });
    expect(custom.policy).toMatchObject({ action: "Deny", rules: [[[{ destinationPorts: [80] }]]] });
    expect(custom.condition).toMatchObject({ status: "False", reason: "UnsupportedValue" });
    const audit = compile({ action: "AUDIT", rules: [{}] });
    expect([audit.policy, audit.condition.reason]).toEqual([undefined, "UnsupportedValue"]);
  });

  it.each([
    [
      "a bad address among good ones",
      "ALLOW",
      from({ ipBlocks: ["10.0.0.1", "300.0.0.1"] }),
      [[[{ sourceIps: ["10.0.0.1/32"] }]]],
    ],
    ["only a bad address", "ALLOW", from({ ipBlocks: ["300.0.0.1"] }), []],
    ["a bad exception", "ALLOW", from({ notIpBlocks: ["10.0.0.1", "300.0.0.1"] }), []],
    ["a bad port", "ALLOW", to({ ports: ["http", "80"] }), [[[{ destinationPorts: [80] }]]]],
    ["an unknown field", "ALLOW", from({ principal: ["a"], namespaces: ["a"] }), []],
    ["an empty match", "ALLOW", from({}), []],
    ["only empty lists", "ALLOW", from({ principals: [], namespaces: [] }), []],
    ["an empty match", "ALLOW", to({ ports: [] }), []],
    ["an empty match", "ALLOW", [{ when: [{ key: "source.namespace", values: [] }] }], []],
    ["an empty from", "ALLOW", [{ from: [] }], []],
    ["an empty to", "ALLOW", [{ from: [{ source: { principals: ["a"] } }], to: [] }], []],
    ["a bad address among good ones", "DENY", from({ ipBlocks: ["10.0.0.1", "300.0.0.1"] }), [[]]],
    [
      "a bad exception",
      "DENY",
      from({ notIpBlocks: ["10.0.0.1", "300.0.0.1"] }),
      [[[{ notSourceIps: ["10.0.0.1/32"] }]]],
    ],
    [
      "only a bad exception",
      "DENY",
      from({ notIpBlocks: ["300.0.0.1"], namespaces: ["a"] }),
      [[[{ namespaces: [exact("a")] }]]],
    ],
    ["a bad port", "DENY", to({ ports: ["0"] }), [[]]],
    ["an unknown field", "DENY", from({ principal: ["a"], namespaces: ["a"] }), [[[{ namespaces: [exact("a")] }]]]],
    ["an unknown clause", "DENY", [{ form: [] }], [[]]],
    ["an empty match", "DENY", from({}), [[]]],
    ["only empty lists", "DENY", from({ principals: [] }), [[]]],
    ["an empty from", "DENY", [{ from: [] }], [[]]],
    ["a list that is none", "DENY", from({ namespaces: "a" }), [[]]],
    ["rules that are no list", "DENY", "all", [[]]],
    ["rules that are no list", "ALLOW", "all", []],
    ["a rule that is no mapping", "DENY", [5], [[]]],
  ])("%s fails closed in %s", (_what, action, rules, expected) => {
    const compiled = compile({ action, rules });
    expect(compiled.policy?.rules).toEqual(expected);
    expect(compiled.condition.status).toBe(["an empty match", "only empty lists"].includes(_what) ? "True" : "False");
  });

  it.each([
    ["an unknown action", { action: "Deny", rules: [{}] }, "Deny", [[]]],
    ["an unknown field", { selectr: {}, rules: [{}] }, "Allow", []],
    ["an unknown field", { action: "DENY", rule: [{}] }, "Deny", [[]]],
    ["a selector of a wrong shape", { selector: { app: "web" }, action: "DENY", rules: [] }, "Deny", [[]]],
    ["a selector of a wrong shape", { selector: { matchLabels: { app: 5 } }, rules: [{}] }, "Allow", []],
  ])("%s fails closed for the whole namespace", (_what, spec, action, rules) => {
    const compiled = compile(spec);
    expect(compiled.policy).toMatchObject({ scope: "Namespace", action, rules });
    expect(compiled.condition).toMatchObject({ status: "False", reason: "Invalid" });
  });
});

describe("policies a workload names", () => {
  const policy = (name: string, spec: string, namespace = "shop"): string =>
    `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: ${name}, namespace: ${namespace} }\nspec: { ${spec} }\n---\n`;
  const SELECTS = "selector: { matchLabels: { app: web } }";

  it("are those with a selector that matches, of its namespace and the root's, sorted", () => {
    const mesh = new TestMesh(
      pod("p", { labels: "app: web, zone: a" }) +
        policy("z", SELECTS) +
        policy("a", "selector: { matchLabels: { zone: a, app: web } }") +
        policy("root", SELECTS, "istio-system") +
        policy("other-labels", "selector: { matchLabels: { app: cart } }") +
        policy("other-namespace", SELECTS, "elsewhere") +
        policy("whole-namespace", "action: DENY") +
        policy("audit", `${SELECTS}, action: AUDIT`) +
        policy("for-waypoint", "targetRefs: [{ kind: Service, name: web, group: '' }]"),
    );
    expect(mesh.pod("p")?.authorizationPolicies).toEqual(["istio-system/root", "shop/a", "shop/z"]);
    expect(mesh.policy("shop/whole-namespace")?.scope).toBe("Namespace");
    expect(mesh.policy("shop/audit")).toBeUndefined();
    expect(mesh.conditions.get("AuthorizationPolicy/shop/audit" as ObjectKey)).toMatchObject([{ status: "False" }]);
  });

  it("follow a policy that gains or loses its selector", () => {
    const mesh = new TestMesh(pod("p", { labels: "app: web" }) + policy("x", SELECTS));
    mesh.apply(policy("x", "action: DENY"));
    expect(mesh.pod("p")?.authorizationPolicies).toEqual([]);
    mesh.apply(policy("x", SELECTS));
    expect(mesh.pod("p")?.authorizationPolicies).toEqual(["shop/x"]);
    mesh.remove(policy("x", SELECTS));
    expect(mesh.pod("p")?.authorizationPolicies).toEqual([]);
  });
});
