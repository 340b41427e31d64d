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

/** Where a match can be damaged, and how. */
const DAMAGES: readonly ((m: proto.PolicyMatch) => void)[] = [
  (m) => m.namespaces.push(create(proto.StringMatchSchema)),
  (m) => m.notNamespaces.push(create(proto.StringMatchSchema)),
  (m) => m.principals.push(create(proto.StringMatchSchema)),
  (m) => m.notPrincipals.push(create(proto.StringMatchSchema)),
  (m) => m.serviceAccounts.push(create(proto.ServiceAccountMatchSchema, { namespace: "a/b", serviceAccount: "c" })),
  (m) => m.sourceIps.push(create(proto.PolicyAddressSchema, { address: new Uint8Array(5), length: 0 })),
  (m) => m.notSourceIps.push(create(proto.PolicyAddressSchema, { address: new Uint8Array(4), length: 33 })),
  (m) => m.destinationIps.push(create(proto.PolicyAddressSchema)),
  (m) => m.notDestinationIps.push(create(proto.PolicyAddressSchema, { address: new Uint8Array(16), length: 200 })),
  (m) => m.destinationPorts.push(65_536),
  (m) => m.notDestinationPorts.push(1 << 20),
];

describe("policies", () => {
  it("cross the wire unchanged", () => {
    fc.assert(fc.property(policy, (value) => expect(overTheWire(policyToProto(value))).toEqual({ ok: true, value })));
  });

  it("with something unreadable are refused, and their strict reading is never weaker than what was meant", () => {
    const damage = fc.constantFrom(...DAMAGES);
    fc.assert(
      fc.property(policy, damage, fc.nat(), connection, (meant, apply, at, c) => {
        const message = policyToProto(meant);
        const matches = message.rules.flatMap((rule) => rule.clauses.flatMap((clause) => clause.matches));
        const target = matches[at % Math.max(1, matches.length)];
        fc.pre(target !== undefined);
        // Of a match that said nothing, an unreadable value is all it said: what was meant cannot be told.
        fc.pre(toBinary(proto.PolicyMatchSchema, target).length > 0);
        apply(target);
        const read = overTheWire(message);
        if (read.ok) throw new Error("a damaged policy was accepted");
        expect(read.error.reason).toMatch(/rules\[\d\]\.clauses\[\d\]\.matches\[\d\]/);
        const strict = read.error.failClosed;
        if (!strict) throw new Error("expected a strict reading");
        // Whatever the unreadable value would have hit, the meaning lies between these two.
        const meanings = [
          matchesPolicy(meant, c),
          ...without(meant, matches.indexOf(target)).map((p) => matchesPolicy(p, c)),
        ];
        if (meant.action === "Deny" && meanings.every((denied) => denied)) expect(matchesPolicy(strict, c)).toBe(true);
        if (meant.action === "Allow" && meanings.every((allowed) => !allowed))
          expect(matchesPolicy(strict, c)).toBe(false);
      }),
      { numRuns: 400 },
    );
  });
});

/** The policy with its n-th match never holding, and with it always holding. */
function without(p: AuthorizationPolicy, n: number): AuthorizationPolicy[] {
  const replaced = (by: PolicyMatch): AuthorizationPolicy => {
    let index = -1;
    const rules = p.rules.map((rule) =>
      rule.map((clause) =>
        clause.map((m) => {
          index++;
          return index === n ? by : m;
        }),
      ),
    );
    return { ...p, rules };
  };
  return [replaced({}), replaced({ sourceIps: ["0.0.0.0/0", "::/0"], destinationIps: ["0.0.0.0/0", "::/0"] })];
}

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
