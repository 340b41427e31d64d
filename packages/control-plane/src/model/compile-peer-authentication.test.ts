import { ipOf } from "@ambit/shared/net";
import { matchesPolicy, type PolicyConnection } from "@ambit/shared/policy";
import { describe, expect, it } from "@jest/globals";
import { pod, TestMesh } from "./test-objects.ts";

const peer = (name: string, spec: string, namespace = "shop", created = ""): string =>
  `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: ${name}, namespace: ${namespace}${created && `, creationTimestamp: '${created}-01-01T00:00:00Z'`} }\nspec: { ${spec} }\n---\n`;
const STRICT = "mtls: { mode: STRICT }";
const PERMISSIVE = "mtls: { mode: PERMISSIVE }";
const WEB = "selector: { matchLabels: { app: web } }";
const POD = pod("p", { labels: "app: web" });
const STATIC = "istio-system/istio_converted_static_strict";

/** Whether plaintext to that port of pod p is refused by what it names. */
function refuses(mesh: TestMesh, port: number): boolean {
  const on: PolicyConnection = {
    sourceIp: ipOf("10.0.0.7"),
    sourcePort: 40000,
    destinationIp: ipOf("10.0.0.1"),
    destinationPort: port,
  };
  const names = mesh.pod("p")?.authorizationPolicies ?? [];
  return names.some((name) => {
    const policy = mesh.policy(name);
    if (!policy) throw new Error(`${name} is named and not served`);
    return policy.action === "Deny" && matchesPolicy(policy, on);
  });
}

describe("PeerAuthentication", () => {
  it("publishes the static policy as soon as there is any, and takes it away with the last", () => {
    const mesh = new TestMesh(POD + peer("x", PERMISSIVE));
    expect(mesh.policy(STATIC)).toEqual({
      name: "istio_converted_static_strict",
      namespace: "istio-system",
      scope: "WorkloadSelector",
      action: "Deny",
      dryRun: false,
      rules: [[[{ notPrincipals: [{ kind: "presence" }] }]]],
    });
    mesh.remove(peer("x", PERMISSIVE));
    expect(mesh.names()).toEqual(["Kubernetes//Pod/shop/p"]);
  });

  it.each([
    ["nothing", "", false],
    ["the mesh", peer("m", STRICT, "istio-system"), true],
    ["the namespace", peer("n", STRICT), true],
    ["the workload", peer("w", `${WEB}, ${STRICT}`), true],
    ["the namespace before the mesh", peer("m", STRICT, "istio-system") + peer("n", PERMISSIVE), false],
    ["the workload before the namespace", peer("n", STRICT) + peer("w", `${WEB}, ${PERMISSIVE}`), false],
    ["DISABLE, which is PERMISSIVE", peer("n", STRICT) + peer("w", `${WEB}, mtls: { mode: DISABLE }`), false],
    [
      "UNSET, which inherits",
      peer("m", STRICT, "istio-system") + peer("n", "") + peer("w", `${WEB}, mtls: { mode: UNSET }`),
      true,
    ],
    ["the oldest of two", peer("a", PERMISSIVE, "shop", "2022") + peer("b", STRICT, "shop", "2021"), true],
    ["another workload's", peer("w", `selector: { matchLabels: { app: cart } }, ${STRICT}`), false],
    ["another namespace's", peer("n", STRICT, "elsewhere"), false],
    ["a selector in the root namespace, which has no effect", peer("w", `${WEB}, ${STRICT}`, "istio-system"), false],
  ])("case 9: by %s, plaintext is refused: %j", (_what, yaml, strict) => {
    const mesh = new TestMesh(POD + yaml);
    expect(refuses(mesh, 80)).toBe(strict);
    expect(mesh.pod("p")?.authorizationPolicies).toEqual(strict ? [STATIC] : []);
  });

  it("case 9: STRICT with PERMISSIVE ports refuses plaintext on all others", () => {
    const ports = "portLevelMtls: { 8080: { mode: PERMISSIVE }, 8081: { mode: DISABLE }, 8082: { mode: STRICT } }";
    const mesh = new TestMesh(POD + peer("w", `${WEB}, ${STRICT}, ${ports}`));
    expect([80, 8080, 8081, 8082].map((port) => refuses(mesh, port))).toEqual([true, false, false, true]);
    expect(mesh.pod("p")?.authorizationPolicies).toEqual(["shop/converted_peer_authentication_w"]);
    expect(mesh.policy("shop/converted_peer_authentication_w")?.rules).toEqual([
      [
        [{ notPrincipals: [{ kind: "presence" }] }],
        [{ notDestinationPorts: [8080] }],
        [{ notDestinationPorts: [8081] }],
      ],
    ]);
  });

  it("case 9: two STRICT ports on a PERMISSIVE workload are both enforced (istio#54146)", () => {
    const ports = "portLevelMtls: { 8080: { mode: STRICT }, 8081: { mode: STRICT } }";
    const mesh = new TestMesh(POD + peer("w", `${WEB}, ${PERMISSIVE}, ${ports}`));
    expect([80, 8080, 8081].map((port) => refuses(mesh, port))).toEqual([false, true, true]);
    expect(mesh.policy("shop/converted_peer_authentication_w")?.rules).toEqual([
      [[{ notPrincipals: [{ kind: "presence" }], destinationPorts: [8080] }]],
      [[{ notPrincipals: [{ kind: "presence" }], destinationPorts: [8081] }]],
    ]);
  });

  it("case 9: port exceptions follow the mode that is inherited", () => {
    const own = peer("w", `${WEB}, portLevelMtls: { 8080: { mode: PERMISSIVE } }`);
    const mesh = new TestMesh(POD + own);
    expect([refuses(mesh, 80), refuses(mesh, 8080)]).toEqual([false, false]);
    mesh.apply(peer("n", STRICT));
    expect([refuses(mesh, 80), refuses(mesh, 8080)]).toEqual([true, false]);
    mesh.remove(peer("n", STRICT));
    expect([refuses(mesh, 80), refuses(mesh, 8080)]).toEqual([false, false]);
  });

  it("case 9: what cannot be read counts as STRICT and says so", () => {
    const mesh = new TestMesh(POD + peer("w", `${WEB}, mtls: { mode: STRIKT }`));
    expect(refuses(mesh, 80)).toBe(true);
    expect([...mesh.conditions.values()].flat()).toMatchObject([{ status: "False", reason: "Invalid" }]);
  });
});
