import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { ipOf } from "../net/index.ts";
import * as proto from "../proto/index.ts";
import {
  type AuthorizationPolicy,
  matchesPolicy,
  type PolicyConnection,
  type PolicyMatch,
  policyFromProto,
  policyToProto,
  type StringMatch,
} from "./index.ts";

const word = fc.constantFrom("", "shop", "td/ns/shop/sa/web");
const text: fc.Arbitrary<StringMatch> = fc.oneof(
  fc.record({ kind: fc.constantFrom("exact" as const, "prefix" as const, "suffix" as const), value: word }),
  fc.constant<StringMatch>({ kind: "presence" }),
);
const some = <T>(item: fc.Arbitrary<T>) => fc.array(item, { minLength: 1, maxLength: 2 });
const account = fc.record({ namespace: fc.constant("shop"), serviceAccount: fc.constantFrom("web", "cart") });
const cidr = fc.constantFrom("10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "fd00::/8", "::/0");
const port = fc.constantFrom(0, 80, 65535);
const match: fc.Arbitrary<PolicyMatch> = fc.record(
  {
    namespaces: some(text),
    notNamespaces: some(text),
    principals: some(text),
    notPrincipals: some(text),
    serviceAccounts: some(account),
    notServiceAccounts: some(account),
    sourceIps: some(cidr),
    notSourceIps: some(cidr),
    destinationIps: some(cidr),
    notDestinationIps: some(cidr),
    destinationPorts: some(port),
    notDestinationPorts: some(port),
  },
  { requiredKeys: [] },
);
const policy: fc.Arbitrary<AuthorizationPolicy> = fc.record({
  name: fc.constant("p"),
  namespace: fc.constant("shop"),
  scope: fc.constantFrom("Global", "Namespace", "WorkloadSelector"),
  action: fc.constantFrom("Allow", "Deny"),
  dryRun: fc.boolean(),
  rules: fc.array(fc.array(fc.array(match, { maxLength: 2 }), { maxLength: 2 }), { maxLength: 2 }),
});
const connection: fc.Arbitrary<PolicyConnection> = fc.boolean().chain((identified) =>
  fc.record({
    sourceIp: fc.constantFrom("10.1.2.3", "192.0.2.1", "fd00::1").map(ipOf),
    sourcePort: fc.constant(40_000),
    destinationIp: fc.constantFrom("10.1.2.3", "2001:db8::1").map(ipOf),
    destinationPort: fc.constantFrom(80, 443),
    ...(identified && {
      identity: fc.record({
        trustDomain: fc.constant("td"),
        namespace: fc.constantFrom("shop", "bank"),
        serviceAccount: fc.constant("web"),
      }),
    }),
  }),
);

const overTheWire = (message: proto.Authorization) =>
  policyFromProto(fromBinary(proto.AuthorizationSchema, toBinary(proto.AuthorizationSchema, message)));

/** Unreadable values, by the field they are put into. */
const DAMAGES: readonly [keyof PolicyMatch, (m: proto.PolicyMatch) => void][] = [
  ["namespaces", (m) => m.namespaces.push(create(proto.StringMatchSchema))],
  ["notNamespaces", (m) => m.notNamespaces.push(create(proto.StringMatchSchema))],
  ["principals", (m) => m.principals.push(create(proto.StringMatchSchema))],
  ["notPrincipals", (m) => m.notPrincipals.push(create(proto.StringMatchSchema))],
  ["serviceAccounts", (m) => m.serviceAccounts.push(create(proto.ServiceAccountMatchSchema, { namespace: "a/b" }))],
  ["notServiceAccounts", (m) => m.notServiceAccounts.push(create(proto.ServiceAccountMatchSchema, { namespace: "/" }))],
  ["sourceIps", (m) => m.sourceIps.push(create(proto.PolicyAddressSchema, { address: new Uint8Array(5) }))],
  [
    "notSourceIps",
    (m) => m.notSourceIps.push(create(proto.PolicyAddressSchema, { address: new Uint8Array(4), length: 33 })),
  ],
  ["destinationIps", (m) => m.destinationIps.push(create(proto.PolicyAddressSchema))],
  ["notDestinationIps", (m) => m.notDestinationIps.push(create(proto.PolicyAddressSchema, { length: 200 }))],
  ["destinationPorts", (m) => m.destinationPorts.push(65_536)],
  ["notDestinationPorts", (m) => m.notDestinationPorts.push(1 << 20)],
];
const EVERYTHING: PolicyMatch = { sourcePort: 0 } as PolicyMatch;
const NOTHING: PolicyMatch = {};

/** The policy with its n-th match replaced; EVERYTHING stands for a match that always holds. */
function replaced(p: AuthorizationPolicy, n: number, by: (m: PolicyMatch) => PolicyMatch): AuthorizationPolicy {
  let index = -1;
  const rules = p.rules.map((rule) =>
    rule.map((clause) => {
      const matches = clause.map((m) => (++index === n ? by(m) : m));
      return matches.includes(EVERYTHING) ? [] : matches;
    }),
  );
  return { ...p, rules };
}

/** Whatever an unreadable value of `field` would have hit, the policy matches at most this much (DENY), or at least (ALLOW). */
function bound(meant: AuthorizationPolicy, n: number, field: keyof PolicyMatch): AuthorizationPolicy {
  const isException = field.startsWith("not");
  if (meant.action === "Allow") {
    return replaced(meant, n, (m) => (isException || m[field] === undefined ? NOTHING : m));
  }
  return replaced(meant, n, (m) => {
    const { [field]: _unreadable, ...rest } = m;
    const most = isException ? m : rest;
    return Object.keys(most).length === 0 ? EVERYTHING : most;
  });
}

describe("policies", () => {
  it("cross the wire unchanged", () => {
    fc.assert(fc.property(policy, (value) => expect(overTheWire(policyToProto(value))).toEqual({ ok: true, value })));
  });

  it("with something unreadable are refused, and their strict reading is never weaker than any meaning they may have", () => {
    const damage = fc.constantFrom(...DAMAGES);
    fc.assert(
      fc.property(policy, damage, fc.nat(), connection, (meant, [field, apply], at, c) => {
        const message = policyToProto(meant);
        const matches = message.rules.flatMap((rule) => rule.clauses.flatMap((clause) => clause.matches));
        const n = at % Math.max(1, matches.length);
        const target = matches[n];
        fc.pre(target !== undefined);
        apply(target);
        const read = overTheWire(message);
        if (read.ok) throw new Error("a damaged policy was accepted");
        expect(read.error.reason).toMatch(/rules\[\d\]\.clauses\[\d\]\.matches\[\d\]/);
        const strict = read.error.failClosed;
        if (!strict) throw new Error("expected a strict reading");
        const limit = matchesPolicy(bound(meant, n, field), c);
        if (meant.action === "Deny" && limit) expect(matchesPolicy(strict, c)).toBe(true);
        if (meant.action === "Allow" && !limit) expect(matchesPolicy(strict, c)).toBe(false);
      }),
      { numRuns: 600 },
    );
  });
});

describe("policyFromProto", () => {
  const base = { name: "p", namespace: "shop", scope: proto.PolicyScope.NAMESPACE };
  const anyone: PolicyConnection = {
    sourceIp: ipOf("192.0.2.1"),
    sourcePort: 1,
    destinationIp: ipOf("10.0.0.1"),
    destinationPort: 80,
  };
  const read = (init: Partial<Parameters<typeof create<typeof proto.AuthorizationSchema>>[1]>) => {
    const result = overTheWire(create(proto.AuthorizationSchema, { ...base, ...init } as never));
    return result.ok ? { accepted: result.value } : { strict: result.error.failClosed, reason: result.error.reason };
  };
  const rulesOf = (m: Parameters<typeof create<typeof proto.PolicyMatchSchema>>[1]) => [
    { clauses: [{ matches: [m] }] },
  ];
  const noVariant = { matchType: { case: undefined } } as const;

  it("keeps an empty presence on the wire", () => {
    const presence = create(proto.StringMatchSchema, { matchType: { case: "presence", value: create(EmptySchema) } });
    expect(read({ rules: rulesOf({ principals: [presence] }) as never }).accepted?.rules).toEqual([
      [[{ principals: [{ kind: "presence" }] }]],
    ]);
  });

  it("case 43: a DENY whose only condition cannot be read denies everything until it is mended", () => {
    const { strict } = read({ action: proto.PolicyAction.DENY, rules: rulesOf({ principals: [noVariant] }) as never });
    expect(strict && matchesPolicy(strict, anyone)).toBe(true);
  });

  it("a DENY with one unreadable value of several denies as if that value hit", () => {
    const other = { matchType: { case: "exact", value: "td/ns/bank/sa/x" } } as const;
    const rules = rulesOf({ principals: [other, noVariant], destinationPorts: [80] }) as never;
    const { strict } = read({ action: proto.PolicyAction.DENY, rules });
    expect(strict && matchesPolicy(strict, anyone)).toBe(true);
    expect(strict && matchesPolicy(strict, { ...anyone, destinationPort: 81 })).toBe(false);
  });

  it("an ALLOW whose exception cannot be read allows nothing by that match", () => {
    const rules = rulesOf({ notPrincipals: [noVariant], destinationPorts: [80] }) as never;
    const { strict } = read({ action: proto.PolicyAction.ALLOW, rules });
    expect(strict?.action).toBe("Allow");
    expect(strict && matchesPolicy(strict, anyone)).toBe(false);
  });

  it("an action nobody knows denies everything until it is mended", () => {
    const { strict, reason } = read({
      action: 7 as proto.PolicyAction,
      rules: rulesOf({ destinationPorts: [1] }) as never,
    });
    expect(strict?.action).toBe("Deny");
    expect(strict && matchesPolicy(strict, anyone)).toBe(true);
    expect(reason).toContain("action");
  });

  it("an extension on a match is refused, since it narrows in a way nobody here knows", () => {
    const rules = rulesOf({ destinationPorts: [80], extensions: [{ name: "x" }] }) as never;
    expect(read({ action: proto.PolicyAction.ALLOW, rules }).reason).toContain("extensions");
  });

  it.each([
    ["no name", { name: "" }],
    ["no namespace", { namespace: "" }],
    ["an unknown scope", { scope: 9 as proto.PolicyScope }],
  ])("with %s there is no reading at all", (_what, init) => {
    const result = read(init);
    expect(result.accepted).toBeUndefined();
    expect(result.strict).toBeUndefined();
  });

  it("names every problem at once", () => {
    const { reason } = read({ rules: rulesOf({ destinationPorts: [70_000], namespaces: [noVariant] }) as never });
    expect(reason?.split("; ")).toHaveLength(2);
  });
});
