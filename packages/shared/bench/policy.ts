/**
 * Microseconds per policy evaluation when nothing matches, for 10 and 10 000 policies of 10 rules.
 * Run: node --conditions=@ambit/source packages/shared/bench/policy.ts [--json]
 */
import { ipOf } from "../src/net/index.ts";
import { type AuthorizationPolicy, type PolicyConnection, type PolicyMatch, PolicyStore } from "../src/policy/index.ts";

const RULES_PER_POLICY = 10;
const ROUNDS = 7;
const EVALUATIONS = 20_000;

type MakeMatch = (policy: number, rule: number) => PolicyMatch;

/** Shapes of policy an operator may have thousands of; none matches the connection below. */
const SHAPES: Readonly<Record<string, MakeMatch>> = {
  "exact principals": (p, r) => ({ principals: [{ kind: "exact", value: `cluster.local/ns/n${p}/sa/a${r}` }] }),
  "principal prefixes": (p, r) => ({ principals: [{ kind: "prefix", value: `cluster.local/ns/n${p}-${r}/` }] }),
  namespaces: (p, r) => ({ namespaces: [{ kind: "exact", value: `n${p}-${r}` }] }),
  "service accounts": (p, r) => ({ serviceAccounts: [{ namespace: `n${p}`, serviceAccount: `a${r}` }] }),
  "source CIDRs": (p, r) => ({ sourceIps: [`172.${16 + r}.${p >> 8}.${p & 255}/32`] }),
  "our principal, other ports": (p, r) => ({
    principals: [{ kind: "exact", value: "cluster.local/ns/shop/sa/web" }],
    destinationPorts: [10_000 + ((p * RULES_PER_POLICY + r) % 50_000)],
  }),
  "all but our namespace": () => ({ notNamespaces: [{ kind: "exact", value: "shop" }] }),
  "no identity (STRICT)": () => ({ notPrincipals: [{ kind: "presence" }] }),
};

const connection: PolicyConnection = {
  sourceIp: ipOf("10.1.2.3"),
  sourcePort: 40_000,
  destinationIp: ipOf("10.4.5.6"),
  destinationPort: 8080,
  identity: { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" },
};

function storeOf(count: number, scope: AuthorizationPolicy["scope"], make: MakeMatch) {
  const policies = Array.from(
    { length: count },
    (_, index): AuthorizationPolicy => ({
      name: `p${index}`,
      namespace: "shop",
      scope,
      action: "Deny",
      dryRun: false,
      rules: Array.from({ length: RULES_PER_POLICY }, (_unused, rule) => [[make(index, rule)]]),
    }),
  );
  const store = new PolicyStore();
  store.apply({ policies, removed: [] });
  const listed = scope === "WorkloadSelector" ? policies.map((policy) => `shop/${policy.name}`) : [];
  return { store, destination: { namespace: "shop", authorizationPolicies: listed } };
}

/** Median of the rounds, microseconds. */
function measure(count: number, scope: AuthorizationPolicy["scope"], make: MakeMatch): number {
  const { store, destination } = storeOf(count, scope, make);
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const started = process.hrtime.bigint();
    for (let i = 0; i < EVALUATIONS; i++) {
      if (store.evaluate(connection, destination).kind !== "allow") throw new Error("a policy matched");
    }
    rounds.push(Number(process.hrtime.bigint() - started) / 1000 / EVALUATIONS);
  }
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN;
}

const rows = Object.entries(SHAPES).flatMap(([shape, make]) =>
  (["Namespace", "WorkloadSelector"] as const).map((scope) => ({
    shape,
    scope,
    few: measure(10, scope, make),
    many: measure(10_000, scope, make),
  })),
);
const lines = rows.map(
  ({ shape, scope, few, many }) =>
    `${shape.padEnd(28)}${scope.padEnd(18)}${few.toFixed(2).padStart(8)} us${many.toFixed(2).padStart(8)} us`,
);
process.stdout.write(
  process.argv.includes("--json")
    ? `${JSON.stringify(rows)}\n`
    : `${"10 rules each".padEnd(46)}${"10".padStart(11)}${"10 000".padStart(11)}\n${lines.join("\n")}\n`,
);
