import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { beforeAll, describe, expect, it } from "@jest/globals";

const scenario = canRunLab ? describe : describe.skip;

interface Churn {
  readonly ok: number;
  readonly failed: number;
  readonly failedLater: number;
  readonly failures: readonly string[];
}

scenario("parts that die (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/pairs.yaml"]);
  const ip = { server: "", near: "" };

  beforeAll(async () => {
    await lab.enrol("app");
    ip.server = (await lab.pod("app", "server")).ip;
    ip.near = (await lab.pod("app", "near")).ip;
  }, 60_000);

  const node = async (name: string) => {
    const found = (await lab.status()).nodes.find((one) => one.name === name);
    if (!found?.ztunnel) throw new Error(`no ztunnel on ${name}`);
    return { ...found, ztunnel: found.ztunnel };
  };
  const works = (from: string, to: string) => async (): Promise<boolean> =>
    (await lab.run<{ answer?: string }>(from, "echo", to, 7001, "hi")).answer === "hi";

  it("case 58: a killed control plane costs no connection and comes back by itself", async () => {
    const before = (await lab.status()).controlPlane;
    const churn = lab.run<Churn>("app/client", "churn", ip.server, 7001, 8, 100);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await lab.kill("node1", before?.pid ?? 0);
    expect(await churn).toMatchObject({ ok: 800, failed: 0 });
    const after = await eventually(
      "the control plane is back",
      async () => {
        const now = (await lab.status()).controlPlane;
        return now?.ready && now.pid !== before?.pid ? now : undefined;
      },
      60_000,
    );
    expect(after.restarts).toBeGreaterThan(0);
  });

  it("case 45: policy stays in force while the control plane is away, and catches up when it is back", async () => {
    const deny = {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: "kept", namespace: "app" },
      spec: {
        selector: { matchLabels: { app: "server" } },
        action: "DENY",
        rules: [{ from: [{ source: { namespaces: ["app"] } }] }],
      },
    };
    await lab.apply(deny);
    await eventually("the client is refused", async () => !(await works("app/client", ip.server)()));
    await lab.kill("node1", (await lab.status()).controlPlane?.pid ?? 0);
    expect(await works("app/client", ip.server)()).toBe(false);
    await lab.delete(deny);
    await eventually("the client is allowed again", works("app/client", ip.server), 60_000);
  });

  it("case 58: a recycled data worker keeps new connections waiting instead of failing them", async () => {
    const churn = lab.run<Churn>("app/client", "churn", ip.server, 7001, 8, 50);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await lab.client.proxy("node1", 15000, "/workers/0/restart", "POST");
    const result = await churn;
    // Connections that were open in the worker at that instant die with it; new ones wait in the accept queue.
    expect(result.failedLater).toBe(0);
    expect(result.ok).toBeGreaterThan(350);
  });

  it("case 58: a killed ztunnel leaves the other node's traffic alone and comes back by itself", async () => {
    const before = await node("node2");
    const local = lab.run<Churn>("app/client", "churn", ip.near, 7001, 8, 100);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await lab.kill("node2", before.ztunnel.pid);
    expect(await local).toMatchObject({ ok: 800, failed: 0 });
    await eventually(
      "ztunnel/node2 is back",
      async () => {
        const now = await node("node2");
        return now.ztunnel.ready && now.ztunnel.pid !== before.ztunnel.pid;
      },
      60_000,
    );
    await eventually("traffic to node2 flows again", works("app/client", ip.server));
  });

  it("refuses rather than bypasses while the node's ztunnel is dead", async () => {
    const victim = await node("node2");
    await lab.exec({ node: "node2" }, ["kill", "-STOP", String(victim.ztunnel.pid)]);
    try {
      const plaintext = lab.run<{ answer?: string; error?: string }>("outside/outsider", "talk", ip.server, 7004);
      const first = await Promise.race([
        plaintext,
        new Promise((resolve) => setTimeout(() => resolve("no answer"), 2_000)),
      ]);
      expect(first).toBe("no answer");
    } finally {
      await lab.exec({ node: "node2" }, ["kill", "-CONT", String(victim.ztunnel.pid)]);
    }
    await eventually("traffic to node2 flows again", works("app/client", ip.server));
  });

  it("case 61: a link that loses one packet in twenty delays bytes and loses none", async () => {
    const rules =
      "add table inet lossy; add chain inet lossy in { type filter hook input priority 0; }; add rule inet lossy in tcp dport 15008 numgen random mod 100 < 5 drop; add rule inet lossy in tcp sport 15008 numgen random mod 100 < 5 drop";
    await lab.exec({ namespace: "app", pod: "server" }, ["nft", rules]);
    try {
      const result = await lab.run<{ bytes: number; sha256: string; expected: string }>(
        "app/client",
        "upload",
        ip.server,
        7002,
        8 * 1024 * 1024,
      );
      expect(result.sha256).toBe(result.expected);
    } finally {
      await lab.exec({ namespace: "app", pod: "server" }, ["nft", "delete table inet lossy"]);
    }
  });

  it("case 59: a ztunnel restart on SIGTERM lets a long connection run on for the drain time", async () => {
    const before = await node("node1");
    const long = await lab.start<{ ended: string; heldMs: number }>("app/client", "stream", ip.server, 7001, 3);
    await lab.exec({ node: "node1" }, ["kill", "-TERM", String(before.ztunnel.pid)]);
    const result = await long.result;
    expect(result.ended).toBe("time is up");
    await eventually(
      "ztunnel/node1 is back",
      async () => {
        const now = await node("node1");
        return now.ztunnel.ready && now.ztunnel.pid !== before.ztunnel.pid;
      },
      60_000,
    );
    await eventually("traffic from node1 flows again", works("app/client", ip.server));
  });
});
