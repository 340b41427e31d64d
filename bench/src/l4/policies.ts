import { ipOf } from "@ambit/shared/net";
import { type AuthorizationPolicy, type PolicyConnection, PolicyStore } from "@ambit/shared/policy";
import type { Workload } from "@ambit/shared/workload";
import { type Goal, makeRow, median, type Row } from "../row.ts";

const EVALUATIONS = 20_000;
const ROUNDS = 7;

/** One authorization of one connection with 10 and with 10 000 policies in force, ten rules each, none of which matches. */
export function policies(): Row[] {
  const few = storeOf(10);
  const many = storeOf(10_000);
  const samples = { few: [] as number[], many: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    samples.few.push(microsecondsEach(few));
    samples.many.push(microsecondsEach(many));
  }
  const goal: Goal = { text: "<= 5 us", holds: (_direct, ours) => ours <= 5 };
  return [
    makeRow(
      "authorization: 10 000 policies (direct: 10 policies)",
      "us",
      median(samples.few),
      median(samples.many),
      goal,
    ),
  ];
}

function storeOf(count: number): PolicyStore {
  const store = new PolicyStore();
  store.apply({ policies: Array.from({ length: count }, (_, index) => denyPolicy(index)), removed: [] });
  return store;
}

function denyPolicy(index: number): AuthorizationPolicy {
  const rules = Array.from({ length: 10 }, (_, rule) => [
    [
      {
        namespaces: [{ kind: "exact" as const, value: `ns-${index}-${rule}` }],
        destinationPorts: [8000 + (rule % 10)],
      },
    ],
    [{ principals: [{ kind: "exact" as const, value: `cluster.local/ns/ns-${index}-${rule}/sa/client` }] }],
  ]);
  return { name: `deny-${index}`, namespace: "istio-system", scope: "Global", action: "Deny", dryRun: false, rules };
}

function microsecondsEach(store: PolicyStore): number {
  const started = performance.now();
  for (let n = 0; n < EVALUATIONS; n++) {
    const verdict = store.evaluate(CONNECTION, DESTINATION);
    if (verdict.kind !== "allow") throw new Error("expected the connection to be allowed");
  }
  return ((performance.now() - started) * 1000) / EVALUATIONS;
}

const CONNECTION: PolicyConnection = {
  sourceIp: ipOf("10.1.0.5"),
  sourcePort: 40000,
  destinationIp: ipOf("10.2.0.7"),
  destinationPort: 8003,
  identity: { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" },
};

const DESTINATION: Workload = {
  uid: "Kubernetes//Pod/shop/cart",
  name: "cart",
  namespace: "shop",
  serviceAccount: "cart",
  trustDomain: "cluster.local",
  addresses: [ipOf("10.2.0.7")],
  hostname: "",
  network: "",
  networkMode: "Standard",
  protocol: "HBONE",
  nativeTunnel: false,
  node: "node2",
  clusterId: "Kubernetes",
  canonicalName: "cart",
  canonicalRevision: "latest",
  workloadName: "cart",
  workloadType: "pod",
  status: "Healthy",
  locality: { region: "", zone: "", subzone: "" },
  capacity: 1,
  authorizationPolicies: [],
  services: {},
};
