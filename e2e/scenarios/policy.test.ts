import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";

const scenario = canRunLab ? describe : describe.skip;
const CLIENT = "cluster.local/ns/app/sa/client";

const policy = (name: string, spec: object): object => ({
  apiVersion: "security.istio.io/v1",
  kind: "AuthorizationPolicy",
  metadata: { name, namespace: "app" },
  spec,
});
const onServer = { selector: { matchLabels: { app: "server" } } };
const strict = (ports?: object): object => ({
  apiVersion: "security.istio.io/v1",
  kind: "PeerAuthentication",
  metadata: { name: "strict", namespace: "app" },
  spec: { ...(ports ? { ...onServer, portLevelMtls: ports } : {}), mtls: { mode: "STRICT" } },
});

interface Refusal {
  readonly reason: string;
  readonly policy?: string;
  readonly direction: string;
}

scenario("policy on real connections (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/pairs.yaml"]);
  let server = "";

  beforeAll(async () => {
    await lab.enrol("app");
    server = (await lab.pod("app", "server")).ip;
  }, 60_000);

  const answers = async (from: string, port = 7001): Promise<boolean> =>
    (await lab.run<{ answer?: string }>(from, "echo", server, port, "hi")).answer === "hi";
  const becomes = (from: string, wanted: boolean): Promise<true> =>
    eventually(`${from} is ${wanted ? "allowed" : "refused"}`, async () => (await answers(from)) === wanted);
  /** Records reach the control thread in batches: the refusal may be told a moment after it happened. */
  const refused = (wanted: Partial<Refusal>): Promise<Refusal> =>
    eventually(`the last refusal is ${JSON.stringify(wanted)}`, async () => {
      const refusals = await lab.admin<Refusal[]>("node2", "/debug/refusals");
      const last = refusals.findLast((refusal) => refusal.direction === "inbound");
      return last && Object.entries(wanted).every(([name, value]) => last[name as keyof Refusal] === value)
        ? last
        : undefined;
    });

  afterEach(async () => {
    for (const kind of ["AuthorizationPolicy", "PeerAuthentication"]) {
      for (const { metadata } of await lab.client.objects({ kind, namespace: "app" })) {
        await lab.client.delete({ kind, namespace: "app", name: metadata.name });
      }
    }
    await becomes("app/client", true);
    await becomes("outside/outsider", true);
  });

  it("denies by identity and names the policy", async () => {
    const deny = policy("no-client", {
      ...onServer,
      action: "DENY",
      rules: [{ from: [{ source: { principals: [CLIENT] } }] }],
    });
    await lab.apply(deny);
    await becomes("app/client", false);
    await refused({ reason: "POLICY_DENIED", policy: "app/no-client" });
  });

  it("allows only whom an ALLOW names", async () => {
    const allow = policy("only-sa-server", {
      ...onServer,
      rules: [{ from: [{ source: { principals: ["cluster.local/ns/app/sa/server"] } }] }],
    });
    await lab.apply(allow);
    await becomes("app/client", false);
    expect(await answers("app/near")).toBe(true);
    await refused({ reason: "POLICY_NOT_ALLOWED" });
  });

  it("cuts a live connection when a policy starts to deny it", async () => {
    const live = await lab.start<{ echoes: number; ended: string; heldMs: number }>(
      "app/client",
      "stream",
      server,
      7001,
      60,
    );
    const other = await lab.start<{ ended: string }>("app/near", "stream", server, 7001, 3);
    const deny = policy("cut", {
      ...onServer,
      action: "DENY",
      rules: [{ from: [{ source: { principals: [CLIENT] } }] }],
    });
    await lab.apply(deny);
    const result = await live.result;
    expect(result.echoes).toBeGreaterThan(0);
    expect(result.ended).not.toBe("time is up");
    expect((await other.result).ended).toBe("time is up");
  });

  it("cuts a live connection when a label change attaches a policy to its server", async () => {
    const deny = policy("marked", {
      selector: { matchLabels: { guarded: "yes" } },
      action: "DENY",
      rules: [{ from: [{ source: { principals: [CLIENT] } }] }],
    });
    await lab.apply(deny);
    expect(await answers("app/client")).toBe(true);
    const live = await lab.start<{ ended: string }>("app/client", "stream", server, 7001, 60);
    await lab.client.label({
      kind: "Pod",
      namespace: "app",
      name: "server",
      labels: { guarded: "yes" },
      overwrite: true,
    });
    expect((await live.result).ended).not.toBe("time is up");
    await lab.client.label({
      kind: "Pod",
      namespace: "app",
      name: "server",
      labels: { guarded: null },
      overwrite: true,
    });
  });

  it("case 9: STRICT refuses plaintext, while identity and probes pass", async () => {
    expect(await answers("outside/outsider")).toBe(true);
    await lab.apply(strict());
    await becomes("outside/outsider", false);
    await refused({
      reason: "POLICY_DENIED",
      policy: "istio-system/istio_converted_static_strict",
    });
    expect(await answers("app/client")).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    await eventually("probes pass", async () => (await lab.pod("app", "server")).ready);
  });

  it("case 9: a port excepted from STRICT takes plaintext, every other port does not", async () => {
    const excepted = strict({ 7001: { mode: "PERMISSIVE" } });
    await lab.apply(excepted);
    await eventually("port 7005 refuses plaintext", async () => {
      const answer = await lab.run<{ answer?: string }>("outside/outsider", "read", server, 7005);
      return !answer.answer;
    });
    expect(await answers("outside/outsider")).toBe(true);
  });

  it("case 43: a DENY that only layer 7 could decide denies, and its status says so", async () => {
    const deny = policy("admin-paths", {
      ...onServer,
      action: "DENY",
      rules: [{ to: [{ operation: { paths: ["/admin*"] } }] }],
    });
    await lab.apply(deny);
    await becomes("app/client", false);
    await eventually("the policy's status says what it cannot decide", async () => {
      const [stored] = await lab.client.objects({ kind: "AuthorizationPolicy", namespace: "app", name: "admin-paths" });
      return JSON.stringify(stored?.status ?? {}).includes("UnsupportedValue");
    });
  });

  it("refuses a service whose waypoint does not exist, rather than going around it", async () => {
    const host = "server.app.svc.cluster.local";
    const echo = async (): Promise<string | undefined> =>
      (await lab.run<{ answer?: string }>("app/client", "echo", host, 80, "hi")).answer;
    expect(await echo()).toBe("hi");
    const labels = { "istio.io/use-waypoint": "missing" };
    await lab.client.label({ kind: "Service", namespace: "app", name: "server", labels, overwrite: true });
    await eventually("the service is refused", async () => (await echo()) !== "hi");
    await eventually("the refusal names the waypoint", async () => {
      const refusals = await lab.admin<Refusal[]>("node1", "/debug/refusals");
      return refusals.at(-1)?.reason === "WAYPOINT_UNAVAILABLE";
    });
    await lab.client.label({
      kind: "Service",
      namespace: "app",
      name: "server",
      labels: { "istio.io/use-waypoint": null },
      overwrite: true,
    });
    await eventually("the service answers again", async () => (await echo()) === "hi");
  });

  it("opens the way again when enrolment is taken back", async () => {
    await lab.enrol("app", null);
    expect(await answers("app/client")).toBe(true);
    await eventually("the pod's rules are gone", async () => {
      const rules = await lab.exec({ namespace: "app", pod: "client" }, ["nft", "list", "tables"]);
      return !rules.stdout.includes("ambit");
    });
    await lab.enrol("app");
    expect(await answers("app/client")).toBe(true);
  });
});
