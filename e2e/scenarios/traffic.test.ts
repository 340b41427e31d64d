import { canRunLab, useLab } from "@ambit/testing/lab";
import { beforeAll, describe, expect, it } from "@jest/globals";

const MIB = 1024 * 1024;
const scenario = canRunLab ? describe : describe.skip;

interface Intact {
  readonly bytes: number;
  readonly intact: boolean;
}

scenario("bytes through the mesh (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/pairs.yaml"]);
  const ip = { server: "", near: "", foreign: "", client: "" };

  beforeAll(async () => {
    await lab.enrol("app");
    for (const name of ["server", "near", "client"] as const) ip[name] = (await lab.pod("app", name)).ip;
    ip.foreign = (await lab.pod("outside", "foreign")).ip;
  }, 60_000);

  it.each([
    ["another node", "app/client", () => ip.server],
    ["the same node", "app/client", () => ip.near],
    ["a pod outside the mesh", "app/client", () => ip.foreign],
    ["an enrolled pod, called by one outside the mesh", "outside/outsider", () => ip.server],
  ])("reach %s", async (_label, from, to) => {
    expect(await lab.run(from, "echo", to(), 7001, "hello")).toEqual({ answer: "hello", failures: [] });
  });

  it.each([
    ["a service's name", "server.app", 80],
    ["a service's full name", "server.app.svc.cluster.local", 80],
    ["a headless service's name", "headless.app", 7001],
  ])("reach %s", async (_label, host, port) => {
    expect(await lab.run("app/client", "echo", host, port, "hello")).toEqual({ answer: "hello", failures: [] });
  });

  it("show the application the client's own address", async () => {
    const { answer } = await lab.run<{ answer: string }>("app/client", "read", ip.server, 7005);
    expect(JSON.parse(answer).remoteAddress).toContain(ip.client);
  });

  it("show the client's own address behind a service too", async () => {
    const { answer } = await lab.run<{ answer: string }>("app/client", "read", "server.app", 81);
    expect(JSON.parse(answer).remoteAddress).toContain(ip.client);
  });

  it("wait for no first byte of the client when the server speaks first", async () => {
    expect(await lab.run("app/client", "talk", ip.server, 7004)).toMatchObject({ answer: "220 server speaks first\n" });
  });

  it("go on to the server after the server ended its direction", async () => {
    expect(await lab.run("app/client", "late", ip.server, 7007, 300_000)).toMatchObject({
      answer: "the server ends first",
    });
    expect(await lab.run("app/client", "read", ip.server, 7008)).toMatchObject({ answer: "300000" });
  });

  it("come back after the client ended its direction", async () => {
    expect(await lab.run("app/client", "ended", ip.server, 7006, "12345")).toMatchObject({
      answer: "after the end: 5",
    });
  });

  it("carry a reset as a reset", async () => {
    const result = await lab.run<{ error?: string; failures?: string[] }>("app/client", "echo", ip.server, 7010);
    expect(result.error ?? result.failures?.[0]).toBe("ECONNRESET");
  });

  it("are intact by checksum after 1 GiB up", async () => {
    const result = await lab.run<{ bytes: number; sha256: string; expected: string }>(
      "app/client",
      "upload",
      ip.server,
      7002,
      1024 * MIB,
    );
    expect(result.bytes).toBe(1024 * MIB);
    expect(result.sha256).toBe(result.expected);
  });

  it("are intact after 1 GiB down", async () => {
    const result = await lab.run<Intact>("app/client", "download", ip.server, 7003, 1024 * MIB);
    expect(result).toMatchObject({ bytes: 1024 * MIB, intact: true });
  });

  it("are intact both ways at once", async () => {
    expect(await lab.run<Intact>("app/client", "both", ip.server, 7001, 128 * MIB)).toMatchObject({
      bytes: 128 * MIB,
      intact: true,
    });
  });

  it("flow on a thousand connections at once", async () => {
    expect(await lab.run("app/client", "many", ip.server, 7001, 1000)).toMatchObject({ ok: 1000, failed: 0 });
  });

  it("go on when one client has had more connections in a minute than there are ports", async () => {
    const range = (ports: string) => ["sh", "-c", `echo ${ports} >/proc/sys/net/ipv4/ip_local_port_range`];
    await lab.exec({ namespace: "app", pod: "server" }, range("40000 40015"));
    try {
      const result = await lab.run<{ ok: number; failed: number }>("app/client", "churn", ip.server, 7001, 8, 6);
      expect(result.failed).toBe(0);
      expect(result.ok).toBeGreaterThan(32);
    } finally {
      await lab.exec({ namespace: "app", pod: "server" }, range("32768 60999"));
    }
  });

  it("cost bounded memory when the server never reads", async () => {
    const { nodes } = await lab.status();
    const resident = async (): Promise<number[]> =>
      Promise.all(
        nodes.map(async (node) => {
          const { stdout } = await lab.exec({ node: node.name }, ["cat", `/proc/${node.ztunnel?.pid}/statm`]);
          return Number(stdout.split(" ")[1]) * 4096;
        }),
      );
    const before = await resident();
    const { written } = await lab.run<{ written: number }>("app/client", "flood", ip.server, 7009, 5);
    const after = await resident();
    expect(written).toBeLessThan(64 * MIB);
    for (const [index, bytes] of after.entries()) expect(bytes - (before[index] ?? 0)).toBeLessThan(64 * MIB);
  });

  it("case 48: of UDP and ICMP are left alone", async () => {
    expect(await lab.run("app/client", "udp", ip.server, 7011)).toEqual({ answer: "datagram" });
    expect(await lab.run("app/client", "closed", ip.server, 7999)).toEqual({ error: "ECONNREFUSED" });
  });

  it("case 49: name an IPv4-mapped address as the IPv4 address it is", async () => {
    expect(await lab.run("app/client", "echo", `::ffff:${ip.server}`, 7001, "mapped")).toMatchObject({
      answer: "mapped",
    });
  });
});
