import { readFile } from "node:fs/promises";
import { readPcap } from "@ambit/shared/pcap";
import { eventually } from "@ambit/testing/eventually";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { isRoot, LabFixture } from "./lab-fixture.ts";

(isRoot ? describe : describe.skip)("a lab's network, before any mesh (needs root and network namespaces)", () => {
  const lab = new LabFixture();
  const ip = { server: "", other: "", client: "" };

  beforeAll(async () => {
    expect(await lab.up()).toMatchObject({ ok: true, mode: "netns" });
    const { pods } = await lab.ready();
    const servers = pods.filter((pod) => pod.name.startsWith("server-"));
    ip.server = servers.find((pod) => pod.node === "node1")?.ip ?? "";
    ip.other = servers.find((pod) => pod.node === "node2")?.ip ?? "";
    ip.client = pods.find((pod) => pod.name === "client")?.ip ?? "";
  });
  afterAll(() => lab.down());

  const curl = (target: string): Promise<string> => lab.sh("client", `curl -sS -m 20 ${target} 2>&1`);

  it("puts pods on both nodes", () => {
    expect(ip.server).toMatch(/^10\.1\.0\./);
    expect(ip.other).toMatch(/^10\.2\.0\./);
  });

  it("carries pods' traffic within a node and between nodes with the client's own address", async () => {
    for (const server of [ip.server, ip.other]) expect(await curl(`http://${server}:8080/`)).toContain(ip.client);
  });

  it("carries IPv6 too", async () => {
    const server = ip.other.replace(
      /^10\.(\d+)\.0\.(\d+)$/,
      (_all, node, pod) => `fd00:10:${node}::${Number(pod).toString(16)}`,
    );
    expect(await curl(`-g 'http://[${server}]:8080/'`)).toContain("fd00:10:1::");
  });

  it("spreads a service's connections over its ready pods and keeps the client's address", async () => {
    const answers = new Set<string>();
    for (let n = 0; n < 60 && answers.size < 2; n++) answers.add(await curl("http://server.app/"));
    expect(answers.size).toBe(2);
    for (const answer of answers) expect(answer).toContain(ip.client);
  });

  it("serves UDP by a service address", async () => {
    const line =
      "node -e \"const s=require('dgram').createSocket('udp4');s.on('message',(m)=>{console.log(String(m));s.close()});s.send('x',7001,'server.app');setTimeout(()=>s.close(),15000).unref()\"";
    expect(await lab.sh("client", line)).toContain("server-");
  });

  it("gives a dual-stack service both addresses, which both work", async () => {
    expect((await lab.sh("client", "getent ahosts dual.app")).split("\n").length).toBeGreaterThan(3);
    expect(await curl("-6 http://dual.app/")).toContain("fd00:10:1::");
  });

  it("serves a node port on every node, also for callers on the wire", async () => {
    for (const node of ["172.18.0.2", "172.18.0.3"]) {
      expect(await curl(`http://${node}:30080/`)).toContain("server-");
      const { stdout } = await lab.exec({ node: "node1" }, "curl", "-s", "-m", "20", `http://${node}:30080/`);
      expect(stdout).toContain("server-");
    }
  });

  it("lets a pod reach itself by its own service", async () => {
    const { name } = await lab.pod("server");
    for (let n = 0; n < 6; n++)
      expect(await lab.sh(name, "curl -sS -m 20 http://server.app/ 2>&1")).toContain("server-");
  });

  it("refuses at once a service without endpoints, and a port that is not the service's", async () => {
    expect(await curl("http://empty.app/")).toContain("curl: (7)");
    expect(await curl("http://server.app:81/")).toContain("curl: (7)");
  });

  it.each([
    ["server", "a short name"],
    ["server.app", "with its namespace"],
    ["server.app.svc.cluster.local", "in full"],
  ])("resolves %s (%s)", async (name) => {
    expect(await lab.sh("client", `getent hosts ${name}`)).toMatch(/^10\.96\./);
  });

  it("resolves a headless service to its pods, and an address back to a name", async () => {
    const found = await lab.sh("client", "getent ahostsv4 headless.app");
    expect(found).toContain(ip.server);
    expect(found).toContain(ip.other);
    const vip = (await lab.sh("client", "getent hosts server.app")).split(" ")[0];
    expect(await lab.sh("client", `getent hosts ${vip}`)).toContain("server.app.svc.cluster.local");
  });

  it("denies names it does not know, without letting the resolver try again", async () => {
    // Which it does after 5 s each time; the clock is the pod's own, so that entering it does not count.
    const line = "s=$(date +%s%N); getent hosts nobody.example.com; echo $? $((($(date +%s%N) - s) / 1000000))";
    const [status, tookMs] = (await lab.sh("client", line)).split(" ").map(Number);
    expect(status).toBe(2);
    expect(tookMs).toBeLessThan(5_000);
  });

  it("gives a pod its own host name, hosts file, interfaces and processes", async () => {
    expect(
      await lab.sh("client", "hostname; grep client /etc/hosts; ls /sys/class/net; ls /proc | grep -c '^[0-9]'"),
    ).toMatch(/^client\n10\.1\.0\.\d+\tclient\nfd00:10:1::\w+\tclient\neth0\nlo\n\d{1,2}$/);
  });

  it("stops a pod from speaking for another, or for the kubelet", async () => {
    await lab.sh("client", "ip address add 169.254.7.127/32 dev lo; ip address add 10.1.0.200/32 dev lo");
    for (const forged of ["169.254.7.127", "10.1.0.200"])
      expect(await lab.sh("client", `curl -s -m 1 --interface ${forged} http://${ip.server}:8080/; echo $?`)).toBe(
        "28",
      );
  });

  it("captures a node's link as a pcap file that names who spoke with whom", async () => {
    const { id } = await lab.client.startCapture("node1");
    await curl(`http://${ip.other}:8080/on-the-wire`);
    const { file, packets } = await lab.client.stopCapture(id);
    const capture = readPcap(await readFile(file));
    expect(capture.ok && capture.value.frames).toBe(packets);
    const segments = capture.ok ? capture.value.segments : [];
    const request = segments.find((one) => one.payload.toString("latin1").startsWith("GET /on-the-wire"));
    expect(request).toMatchObject({ source: ip.client, destination: ip.other, destinationPort: 8080 });
  });

  it("calls a port of a node's own programs from inside the node", async () => {
    const server = lab.exec(
      { node: "node1" },
      "timeout",
      "30",
      "node",
      "-e",
      "require('http').createServer((q,s)=>{s.end('at '+q.url);setTimeout(()=>process.exit(),200)}).listen(15999,'127.0.0.1')",
    );
    const answer = await eventually("it answers", () => lab.client.proxy("node1", 15999, "/here?x=1"));
    expect(answer).toBe("at /here?x=1");
    await server;
    await expect(lab.client.proxy("node1", 15999, "/")).rejects.toThrow(/15999/);
    await expect(lab.client.proxy("nowhere", 1, "/")).rejects.toThrow(/nowhere/);
  });
});
