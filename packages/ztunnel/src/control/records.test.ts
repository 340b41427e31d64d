import { createLogSystem } from "@ambit/shared/log";
import { createRegistry } from "@ambit/shared/metrics";
import { describe, expect, it } from "@jest/globals";
import type { ConnectionRecord, PeerFacts } from "../observe/records.ts";
import { createZtunnelMetrics } from "./metrics.ts";
import { createRecordSink } from "./records.ts";
import { RefusalRing } from "./refusals.ts";

const peer = (workload: string): PeerFacts => ({
  workload,
  namespace: "shop",
  canonicalService: workload,
  canonicalRevision: "v1",
  app: workload,
  version: "v1",
  cluster: "Kubernetes",
  region: "",
  zone: "",
  identity: `spiffe://cluster.local/ns/shop/sa/${workload}`,
});

const record = (over: Partial<ConnectionRecord> = {}): ConnectionRecord => ({
  phase: "closed",
  atMs: 0,
  id: "1f",
  pod: "uid-1",
  direction: "outbound",
  via: "captured",
  source: peer("web"),
  destination: peer("cart"),
  destinationService: { hostname: "cart.shop.svc.cluster.local", namespace: "shop", name: "cart" },
  mutualTls: true,
  sourceAddress: "10.0.0.1:40000",
  destinationAddress: "10.0.1.1:15008",
  hboneAddress: "10.0.1.1:8080",
  bytesSent: 11,
  bytesReceived: 22,
  durationMs: 12.4,
  flag: "-",
  ...over,
});

function sink(level: "info" | "debug" = "info") {
  const lines: string[] = [];
  let nowMs = 0;
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  const clock = { now: () => 0, monotonic: () => nowMs, after: () => () => {} };
  const output = { write: (line: string) => lines.push(line.trimEnd()) };
  const logs = createLogSystem({ format: "plain", levels: { fallback: level, scopes: {} }, output, clock });
  const registry = createRegistry();
  const refusals = new RefusalRing();
  const metrics = createZtunnelMetrics(registry, "test");
  const accept = createRecordSink({ clock, logs, metrics, refusals, podName: () => "shop/web" });
  const feed = (...connections: ConnectionRecord[]) => accept({ kind: "records", connections, dns: [], dropped: 0 });
  const sample = async (prefix: string) =>
    (await registry.scrape()).split("\n").filter((line) => line.startsWith(prefix));
  return { lines, refusals, feed, accept, sample, pass };
}

describe("access log", () => {
  it("bounds the lines about what never became a connection, and counts all of it", async () => {
    const { lines, refusals, feed, sample } = sink();
    const stranger = record({ phase: "refused", id: "", code: "H2_ENHANCE_YOUR_CALM", flag: "H2_HANDSHAKE_FAILURE" });
    feed(...Array.from({ length: 300 }, () => stranger), record());
    expect(lines).toHaveLength(101);
    expect(refusals.list()).toHaveLength(100);
    expect(await sample("ambit_connection_refusals_total")).toEqual([expect.stringMatching(/ 300$/)]);
  });

  it("says how many it left out", () => {
    const { lines, feed, pass } = sink();
    const stranger = record({ phase: "refused", id: "", code: "H2_PROTOCOL_ERROR", flag: "H2_HANDSHAKE_FAILURE" });
    feed(...Array.from({ length: 130 }, () => stranger));
    pass(1_000);
    feed(stranger);
    expect(lines.at(-1)).toContain("left_out=30");
  });

  it("has ztunnel's fields in ztunnel's order, then ours", () => {
    const { lines, feed } = sink();
    feed(record());
    expect(lines).toEqual([
      [
        "1970-01-01T00:00:00.000000Z",
        "info",
        "access",
        "connection complete",
        [
          'src.addr=10.0.0.1:40000 src.workload="web" src.namespace="shop"',
          'src.identity="spiffe://cluster.local/ns/shop/sa/web" src.cluster="Kubernetes"',
          'dst.addr=10.0.1.1:15008 dst.hbone_addr=10.0.1.1:8080 dst.service="cart.shop.svc.cluster.local"',
          'dst.workload="cart" dst.namespace="shop" dst.identity="spiffe://cluster.local/ns/shop/sa/cart"',
          'dst.cluster="Kubernetes" direction="outbound" bytes_sent=11 bytes_recv=22 duration=12ms via="captured" id="1f"',
        ].join(" "),
      ].join("\t"),
    ]);
  });

  it("shows no identity that mutual TLS did not prove", () => {
    const { lines, feed } = sink();
    feed(record({ mutualTls: false }));
    expect(lines[0]).not.toContain("identity");
  });

  it("tells why a connection failed or was refused, by code and policy", () => {
    const { lines, feed } = sink();
    feed(record({ phase: "refused", flag: "DENY", code: "POLICY_DENIED", policy: "shop/deny", message: "denied" }));
    feed(record({ flag: "CONNECT", code: "UPSTREAM_CONNECT_FAILED", message: "no route" }));
    expect(lines[0]).toMatch(
      /\twarn\taccess\tconnection failed\t.*error="denied" reason="POLICY_DENIED" policy="shop\/deny"/,
    );
    expect(lines[1]).toMatch(
      /\terror\taccess\tconnection complete\t.*error="no route" reason="UPSTREAM_CONNECT_FAILED"/,
    );
  });

  it("prints opened connections and DNS only at debug", () => {
    const dns = {
      atMs: 0,
      pod: "p",
      protocol: "udp",
      queryType: "A",
      name: "cart.shop.",
      answeredBy: "mesh",
      responseCode: "NOERROR",
      canonicalService: "",
      canonicalRevision: "",
    } as const;
    const quiet = sink();
    quiet.accept({ kind: "records", connections: [record({ phase: "opened" })], dns: [dns], dropped: 0 });
    expect(quiet.lines).toEqual([]);
    const chatty = sink("debug");
    chatty.accept({ kind: "records", connections: [record({ phase: "opened" })], dns: [dns], dropped: 0 });
    expect(chatty.lines.map((line) => line.split("\t")[3])).toEqual(["connection opened", "dns request complete"]);
  });

  it("case 41: a hostile name from a peer stays inside its quotes on one line", () => {
    const { lines, feed } = sink();
    feed(
      record({
        message: 'x" \n1970 info access connection complete\tsrc.workload="admin"\u001b[2J',
        hboneAddress: "a b\n:1",
      }),
    );
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toMatch(/src\.workload="admin"/);
    expect(lines[0]).not.toContain("\u001b");
  });
});

describe("counters of connections", () => {
  it("count bytes as client to server and back for both reporters", async () => {
    const { feed, sample } = sink();
    feed(record({ direction: "outbound", bytesSent: 11, bytesReceived: 22 }));
    feed(record({ direction: "inbound", bytesSent: 22, bytesReceived: 11 }));
    const values = async (name: string) => (await sample(name)).map((line) => line.split(" ").at(-1));
    expect(await values("istio_tcp_received_bytes_total")).toEqual(["11", "11"]);
    expect(await values("istio_tcp_sent_bytes_total")).toEqual(["22", "22"]);
  });

  it("label what is known, and never claim mutual TLS without it", async () => {
    const { feed, sample } = sink();
    feed(record({ phase: "opened" }), record({ phase: "opened", mutualTls: false, direction: "inbound" }));
    const [out, inbound] = await sample("istio_tcp_connections_opened_total");
    expect(out).toContain('reporter="source",source_workload="web"');
    expect(out).toContain('connection_security_policy="mutual_tls"');
    expect(inbound).toContain('source_principal="unknown"');
    expect(inbound).toContain('connection_security_policy="unknown"');
  });

  it("count refusals by reason, policy and direction, apart from failures", async () => {
    const { feed, sample } = sink();
    feed(record({ phase: "refused", flag: "DENY", code: "POLICY_DENIED", policy: "shop/deny", direction: "inbound" }));
    feed(record({ flag: "CONNECT", code: "UPSTREAM_CONNECT_FAILED" }));
    expect(await sample("ambit_connection_refusals_total")).toEqual([
      'ambit_connection_refusals_total{reason="POLICY_DENIED",policy="shop/deny",direction="inbound"} 1',
    ]);
    expect(await sample("istio_tcp_connections_failed_total")).toHaveLength(1);
  });

  it("keep names and help stable: every family beyond Istio's stable ones says unstable", async () => {
    const { feed, sample } = sink();
    feed(record());
    const stable =
      /^# HELP (istio_tcp_(connections_(opened|closed)|received_bytes|sent_bytes)|istio_build|process_(open|max)_fds) /;
    const help = await sample("# HELP");
    expect(help.filter((line) => !line.includes("(unstable)")).every((line) => stable.test(line))).toBe(true);
    expect(await sample("istio_build")).toEqual(['istio_build{component="ztunnel",tag="test"} 1']);
  });
});

describe("RefusalRing", () => {
  it("keeps the last thousand, oldest first, with reason and policy", () => {
    const ring = new RefusalRing();
    for (let i = 0; i < 1_200; i++)
      ring.add(record({ atMs: i, code: "POLICY_DENIED", policy: "a/b", message: `${i}` }), "shop/web");
    const list = ring.list();
    expect(list).toHaveLength(1_000);
    expect([list[0]?.message, list.at(-1)?.message]).toEqual(["200", "1199"]);
    expect(list[0]).toMatchObject({ pod: "shop/web", reason: "POLICY_DENIED", policy: "a/b", direction: "outbound" });
  });
});
