import { eventually } from "@ambit/testing/eventually";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import {
  address,
  LoopbackMesh,
  namespaceObject,
  type Program,
  podObject,
  runProgram,
  say,
  socksConnect,
} from "./fixtures/processes.ts";

const PORT = 7_000;
const CLIENT = 11;
const SERVER = 21;

describe("the ztunnel program", () => {
  it("reports every mistake of command line and environment at once and exits with 64", async () => {
    const { exit, lines } = runProgram("ztunnel", { LOG_FORMAT: "xml", AMBIT_OBJECT: "folder:/x", SECRET_TTL: "1" }, [
      "--fast",
    ]);
    expect(await exit).toBe(64);
    expect(lines).toEqual([
      "ztunnel: the configuration has 6 mistakes",
      '  --fast="": unknown flag',
      '  SECRET_TTL="1": expected a duration such as 5s, 1m30s, 24h or 100ms',
      '  NODE_NAME="": required: the node whose pods are served',
      '  AMBIT_OBJECTS="": required: folder:DIR, where the pods and namespaces are listed',
      '  LOG_FORMAT="xml": expected one of plain, json',
      '  AMBIT_OBJECT="folder:/x": unknown variable; did you mean AMBIT_OBJECTS?',
    ]);
  });

  it("prints version and help without any configuration", async () => {
    const version = runProgram("ztunnel", {}, ["version"]);
    expect(await version.exit).toBe(0);
    expect(version.lines[0]).toMatch(/^ztunnel \d+\.\d+\.\d+ \(node v/);
    const help = runProgram("ztunnel", {}, ["--help"]);
    expect(await help.exit).toBe(0);
    expect(help.lines[0]).toContain("usage: ztunnel");
  });
});

describe("two ztunnels and a control plane, as processes with explicit capture", () => {
  const mesh = new LoopbackMesh(["node1", "node2"]);
  let controlPlane: Program;
  let node1: Program;
  let node2: Program;

  beforeAll(async () => {
    mesh.put("namespace", namespaceObject("shop", { "istio.io/dataplane-mode": "ambient" }));
    mesh.put("client", podObject({ name: "client", namespace: "shop", node: "node1", host: CLIENT }));
    mesh.put(
      "server",
      podObject({ name: "server", namespace: "shop", node: "node2", host: SERVER, labels: { app: "server" } }),
    );
    await mesh.serve(SERVER, PORT, "server");
    controlPlane = await mesh.startControlPlane();
    [node1, node2] = await Promise.all([mesh.startZtunnel("node1", 2), mesh.startZtunnel("node2", 3)]);
  }, 60_000);
  afterAll(() => mesh.stop());

  const works = async (): Promise<boolean> => {
    try {
      const socket = await socksConnect(CLIENT, SERVER, PORT);
      const answer = await say(socket, "hi");
      socket.destroy();
      return answer === "server:hi";
    } catch {
      return false;
    }
  };
  const access = (program: Program): Record<string, unknown>[] =>
    program.lines.flatMap((line) => {
      const fields = line.startsWith("{") ? (JSON.parse(line) as Record<string, unknown>) : {};
      return fields["scope"] === "access" ? [fields] : [];
    });
  const complete = (program: Program) => access(program).findLast((line) => line["message"] === "connection complete");
  const admin = async (host: number, path: string, method = "GET"): Promise<string> =>
    (await fetch(`http://${address(host)}:15000${path}`, { method })).text();
  const metrics = async (host: number): Promise<string> =>
    (await fetch(`http://${address(host)}:15020/metrics`)).text();

  it("carries a connection over HBONE with both identities proved, logged and counted at both ends", async () => {
    // Until the control plane knows that the server is in the mesh, it is dialled in plain.
    const both = (): boolean => [node1, node2].every((program) => complete(program)?.["dst.identity"] !== undefined);
    await eventually("both ends logged", async () => (await works()) && both(), 40_000);
    const identities = {
      "src.identity": "spiffe://cluster.local/ns/shop/sa/client",
      "dst.identity": "spiffe://cluster.local/ns/shop/sa/server",
      message: "connection complete",
    };
    expect(complete(node1)).toMatchObject({
      ...identities,
      direction: "outbound",
      bytes_sent: 2,
      bytes_recv: 9,
      "dst.addr": `${address(SERVER)}:15008`,
    });
    expect(complete(node2)).toMatchObject({
      ...identities,
      direction: "inbound",
      bytes_sent: 9,
      bytes_recv: 2,
      via: "hbone",
    });
    for (const [host, reporter] of [
      [2, "source"],
      [3, "destination"],
    ] as const) {
      const text = await metrics(host);
      const opened = text.split("\n").filter((line) => line.startsWith("istio_tcp_connections_opened_total"));
      const mutual = opened.find((line) => line.includes('connection_security_policy="mutual_tls"'));
      expect(mutual).toContain(`reporter="${reporter}",source_workload="client"`);
      expect(mutual).toContain('source_principal="spiffe://cluster.local/ns/shop/sa/client"');
      expect(text).toMatch(/istio_tcp_received_bytes_total\{[^}]*response_flags="-"[^}]*\} [1-9]/);
      expect(text).toContain('istio_xds_message_total{url="type.googleapis.com/istio.workload.Address"}');
      expect(text).toContain("workload_manager_active_proxy_count 1\n");
    }
  });

  it("shows the pod, its connections and its certificate in /config_dump", async () => {
    const socket = await socksConnect(CLIENT, SERVER, PORT);
    expect(await say(socket, "open")).toBe("server:open");
    // Connections of earlier tests may not be over yet.
    const dump = await eventually("the one connection is shown", async () => {
      const shown = JSON.parse(await admin(3, "/config_dump"));
      expect(shown.workloadState["uid-server"]).toMatchObject({
        state: "Up",
        connections: { inbound: [{ protocol: "HBONE" }] },
        info: { name: "server", namespace: "shop", serviceAccount: "server" },
      });
      return shown;
    });
    expect(dump.certificates).toMatchObject([
      { identity: "spiffe://cluster.local/ns/shop/sa/server", state: "Available" },
    ]);
    expect(dump.workloads.map((workload: { name: string }) => workload.name).sort()).toEqual(["client", "server"]);
    socket.destroy();
  });

  it("cuts a live connection when a DENY policy arrives, and says why where it is asked", async () => {
    const socket = await socksConnect(CLIENT, SERVER, PORT);
    expect(await say(socket, "before")).toBe("server:before");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    mesh.put("deny", {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: "no-client", namespace: "shop" },
      spec: {
        selector: { matchLabels: { app: "server" } },
        action: "DENY",
        rules: [{ from: [{ source: { principals: ["cluster.local/ns/shop/sa/client"] } }] }],
      },
    });
    await closed;
    await eventually("new connections are refused", async () => !(await works()));
    const refusals = async (): Promise<Record<string, unknown>[]> => JSON.parse(await admin(3, "/debug/refusals"));
    const refusal = { pod: "shop/server", direction: "inbound", reason: "POLICY_DENIED", policy: "shop/no-client" };
    await eventually("the refusals are listed", async () => {
      expect((await refusals()).slice(-2)).toMatchObject([refusal, refusal]);
      return true;
    });
    const counter =
      'ambit_connection_refusals_total{reason="POLICY_DENIED",policy="shop/no-client",direction="inbound"}';
    await eventually("they are counted", async () => (await metrics(3)).includes(counter));
    mesh.remove("deny");
    await eventually("allowed again", works);
  });

  it("case 58: replaces a data worker without failing a new connection", async () => {
    const attempts: Promise<boolean>[] = [];
    const before = access(node2).length;
    for (let i = 0; i < 40; i++) {
      if (i === 10) await admin(3, "/workers/0/restart", "POST");
      // Those in the worker at that instant die with it; everything begun afterwards must work.
      if (i >= 10) attempts.push(retryOnce(works));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(await Promise.all(attempts)).toEqual(attempts.map(() => true));
    await eventually("they are logged", () => access(node2).length > before);
    const restarted = async () => (await metrics(3)).includes('ambit_worker_restarts{worker="0"} 1\n');
    await eventually("the restart is counted", restarted);
  });

  it("case 58: goes on without the control plane, and takes its changes when it is back", async () => {
    controlPlane.child.kill("SIGKILL");
    await controlPlane.exit;
    for (let i = 0; i < 5; i++) expect(await works()).toBe(true);
    controlPlane = await mesh.startControlPlane();
    mesh.put("deny", {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: "nobody", namespace: "shop" },
      spec: { action: "DENY", rules: [{}] },
    });
    await eventually("the new policy is in force", async () => !(await works()), 40_000);
    mesh.remove("deny");
    await eventually("allowed again", works);
  });

  it("case 58: a killed ztunnel refuses while it is away and serves again once it is back", async () => {
    node2.child.kill("SIGKILL");
    await node2.exit;
    expect(await works()).toBe(false);
    node2 = await mesh.startZtunnel("node2", 3);
    await eventually("traffic flows again", works);
    await eventually("over HBONE", () => complete(node2)?.["via"] === "hbone");
  });

  it("drains on SIGTERM: refuses new connections, lets the open one finish and exits with 0", async () => {
    const socket = await socksConnect(CLIENT, SERVER, PORT);
    expect(await say(socket, "before")).toBe("server:before");
    node1.child.kill("SIGTERM");
    await eventually("new connections are refused", async () => !(await works()));
    expect(await say(socket, "during")).toBe("server:during");
    socket.end();
    expect(await node1.exit).toBe(0);
    expect(node1.lines.at(-1)).toContain('"message":"done"');
  });

  it("exits at once on a second SIGINT", async () => {
    const again = await mesh.startZtunnel("node1", 2, { CONNECTION_TERMINATION_DEADLINE: "60s" });
    await eventually("the mesh carries traffic", works, 40_000);
    const socket = await socksConnect(CLIENT, SERVER, PORT);
    expect(await say(socket, "x")).toBe("server:x");
    again.child.kill("SIGINT");
    await eventually("it drains", () => again.lines.some((line) => line.includes("shutting down")));
    const started = performance.now();
    again.child.kill("SIGINT");
    expect(await again.exit).toBe(0);
    expect(performance.now() - started).toBeLessThan(30_000);
    socket.destroy();
  });
});

async function retryOnce(attempt: () => Promise<boolean>): Promise<boolean> {
  return (await attempt()) || attempt();
}
