import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { Socket } from "node:net";
import { ipOf, PROXY_MARK } from "@ambit/shared/net";
import { linuxPlatform as platform } from "@ambit/shared/platform";
import { eventually } from "@ambit/testing/eventually";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { openCapturedListeners } from "../src/enrolment/pod-listeners.ts";
import { installRules, removeRules, verifyRules } from "../src/enrolment/redirect/apply-rules.ts";
import { loadNftScript } from "../src/enrolment/redirect/nft.ts";
import { drainingRules, type RedirectOptions, redirectRules } from "../src/enrolment/redirect/redirect-rules.ts";
import { askApp, dial, EchoApp, PodWorld, type TestPod } from "./fixtures/pod-world.ts";
import { StandInProxy } from "./fixtures/stand-in-proxy.ts";

const root = process.getuid?.() === 0;
const privileged = root ? describe : describe.skip;
if (!root) process.stderr.write("capture tests skipped: not root\n");

const OPTIONS: RedirectOptions = { dns: true, ingressMode: false, ipv6: true, virtualInterfaces: [] };
const APP = 8080;
const install = (pod: TestPod, over: Partial<RedirectOptions> = {}) =>
  installRules(platform, pod.netns.fd, redirectRules({ ...OPTIONS, ...over }), [4, 6]);

/** A connection that says nothing. */
async function dialled(...to: Parameters<typeof dial>): Promise<{ close(): void }> {
  const socket = await dial(...to);
  return { close: () => socket.destroy() };
}

/** Ended by either side, with or without an error. */
const closed = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

/** Why a dial or an exchange fails; "" when it does not. */
async function failureOf(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
    return "";
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return code ?? name;
  }
}

privileged("redirection of a pod", () => {
  let world: PodWorld;
  let a: TestPod;
  let b: TestPod;
  let plain: TestPod;
  const closing: { close(): void }[] = [];
  const closeLater = <T extends { close(): void }>(thing: T): T => {
    closing.push(thing);
    return thing;
  };

  beforeEach(() => {
    world = new PodWorld(["a", "b", "plain"]);
    [a, b, plain] = world.pods as [TestPod, TestPod, TestPod];
  });
  afterEach(() => {
    for (const thing of closing.splice(0)) thing.close();
    world.close();
  });

  it("R1, R2: carries IPv4 and IPv6 between captured pods, and from outside, with the client's address at the application", async () => {
    for (const pod of [a, b]) await install(pod);
    const [proxyA, proxyB] = [a, b].map(({ netns }) => closeLater(new StandInProxy(netns)));
    closeLater(new EchoApp(b.netns, APP));
    for (const version of ["v4", "v6"] as const) {
      expect(await askApp(a.netns, b[version], APP)).toBe(a[version]);
      expect(await askApp(plain.netns, b[version], APP)).toBe(plain[version]);
    }
    expect(proxyA?.captured).toEqual([
      { port: "15001", from: a.v4, to: `${b.v4}:${APP}` },
      { port: "15001", from: a.v6, to: `[${b.v6}]:${APP}` },
    ]);
    expect(proxyB?.captured.map(({ port, from }) => [port, from])).toEqual([
      ["15006", a.v4],
      ["15006", plain.v4],
      ["15006", a.v6],
      ["15006", plain.v6],
    ]);
  });

  it("R3: keeps a service's address as the destination", async () => {
    await install(a);
    const proxy = closeLater(new StandInProxy(a.netns));
    closeLater(await dialled(a.netns, "10.96.0.10", 80));
    await eventually("it is accepted", () => proxy.captured.length > 0);
    expect(proxy.captured).toEqual([{ port: "15001", from: a.v4, to: "10.96.0.10:80" }]);
  });

  it("R4: leaves HBONE to the proxy's own listener", async () => {
    await install(b);
    const proxy = closeLater(new StandInProxy(b.netns));
    for (const [index, host] of [b.v4, b.v6].entries()) {
      closeLater(await dialled(plain.netns, host, 15008));
      await eventually("it is accepted", () => proxy.captured.length === index + 1);
    }
    expect(proxy.captured).toEqual([
      { port: "15008", from: plain.v4, to: `${b.v4}:15008` },
      { port: "15008", from: plain.v6, to: `[${b.v6}]:15008` },
    ]);
  });

  it("R5: leaves a pod's traffic to itself alone: loopback, the rest of 127/8, its own addresses", async () => {
    await install(a);
    const proxy = closeLater(new StandInProxy(a.netns));
    closeLater(new EchoApp(a.netns, APP));
    for (const host of ["127.0.0.1", "127.0.0.2", "::1", a.v4, a.v6]) await askApp(a.netns, host, APP);
    expect(proxy.captured).toEqual([]);
  });

  it("R6: hands direct hits on the capture ports to the proxy as what they are, so that it can refuse the loop", async () => {
    await install(b);
    const proxy = closeLater(new StandInProxy(b.netns));
    for (const port of [15001, 15006]) {
      const ended = await failureOf(dial(plain.netns, b.v4, port).then(closed));
      expect(["", "ECONNRESET"]).toContain(ended);
    }
    expect(proxy.captured).toEqual([
      { port: "15006", from: plain.v4, to: `${b.v4}:15001` },
      { port: "15006", from: plain.v4, to: `${b.v4}:15006` },
    ]);
  });

  it("R9: takes DNS over UDP and TCP to the proxy, answers come from the asked resolver, the proxy's own questions go out", async () => {
    await install(a);
    const sets = closeLater(openCapturedListeners({ platform, netnsFd: a.netns.fd, workerCount: 1 }));
    const { outbound, inboundPlaintext, hbone, dnsTcp, dnsUdp } = sets.forWorker(0);
    for (const fd of [outbound, inboundPlaintext, hbone, ...dnsTcp]) platform.close(fd as number);
    for (const [index, fd] of dnsUdp.entries()) {
      const socket = closeLater(createSocket(index === 0 ? "udp4" : "udp6")).bind({ fd });
      socket.on("message", (_, peer) => socket.send("from the proxy", peer.port, peer.address));
    }
    for (const [resolver, any] of [
      ["10.96.0.53", "0.0.0.0"],
      ["fd88::1", "::"],
    ] as const) {
      const type = resolver.includes(":") ? "udp6" : "udp4";
      const fd = platform.bindUdp({ netnsFd: a.netns.fd, ip: ipOf(any), port: 0, reusePort: false });
      const client = closeLater(createSocket(type)).bind({ fd });
      client.send("question", 53, resolver);
      const [message, from] = await once(client, "message", { signal: AbortSignal.timeout(15_000) });
      expect([String(message), from.address, from.port]).toEqual(["from the proxy", resolver, 53]);
    }
    closeLater(new EchoApp(plain.netns, 53));
    expect(await askApp(a.netns, plain.v4, 53, { mark: PROXY_MARK })).toBe(a.v4);
    expect(await failureOf(askApp(a.netns, plain.v4, 53, { timeoutMs: 300 }))).not.toBe("");
  });

  it("R11: resets connections that existed before, so that none outlives enrolment in plaintext", async () => {
    closeLater(new EchoApp(b.netns, APP));
    const socket = await dial(plain.netns, b.v4, APP);
    await once(socket, "data");
    await install(b);
    closeLater(new StandInProxy(b.netns));
    socket.write("more");
    await closed(socket);
  });

  it("R12: repeating the installation loses nothing of live captured connections", async () => {
    await install(b);
    closeLater(new StandInProxy(b.netns));
    closeLater(new EchoApp(b.netns, APP));
    const socket = await dial(plain.netns, b.v4, APP);
    const got: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => got.push(chunk));
    const block = Buffer.alloc(65_536, "x");
    for (let round = 0; round < 8; round++) {
      socket.write(block);
      await install(b, { dns: round % 2 === 0 });
    }
    socket.end();
    await once(socket, "end", { signal: AbortSignal.timeout(30_000) });
    expect(Buffer.concat(got).length).toBe(8 * block.length + `${plain.v4}\n`.length);
  });

  it("R12: a second proxy on the same ports takes over without a refused connection", async () => {
    await install(b);
    const first = closeLater(new StandInProxy(b.netns));
    closeLater(new EchoApp(b.netns, APP));
    const second = closeLater(new StandInProxy(b.netns));
    const asks = Array.from({ length: 20 }, () => askApp(plain.netns, b.v4, APP));
    await Promise.all(asks);
    first.close();
    for (let index = 0; index < 20; index++) await askApp(plain.netns, b.v4, APP);
    expect(second.captured.length).toBeGreaterThanOrEqual(20);
  });

  it("R13: refuses new connections both ways while no proxy listens, instead of letting them bypass it", async () => {
    await install(b);
    closeLater(new EchoApp(b.netns, APP));
    closeLater(new EchoApp(plain.netns, APP));
    expect(await failureOf(dial(plain.netns, b.v4, APP))).toBe("ECONNREFUSED");
    expect(await failureOf(dial(b.netns, plain.v4, APP))).toBe("ECONNREFUSED");
    expect(await failureOf(dial(b.netns, plain.v6, APP))).toBe("ECONNREFUSED");
  });

  it("R14: removal leaves no table, rule or route, and repeating it is no error", async () => {
    const before = world.traces("a");
    await install(a);
    expect(world.traces("a")).not.toBe(before);
    await removeRules(platform, a.netns.fd);
    await removeRules(platform, a.netns.fd);
    expect(world.traces("a")).toBe(before);
    closeLater(new EchoApp(a.netns, APP));
    expect(await askApp(plain.netns, a.v4, APP)).toBe(plain.v4);
  });

  it("R15: captures IPv4 in a pod without IPv6", async () => {
    world.sysctl("b", "net.ipv6.conf.all.disable_ipv6=1");
    const ipv6 = platform.ipv6Usable(b.netns.fd);
    expect(ipv6).toBe(false);
    await installRules(platform, b.netns.fd, redirectRules({ ...OPTIONS, ipv6 }), [4]);
    const proxy = closeLater(new StandInProxy(b.netns));
    closeLater(new EchoApp(b.netns, APP));
    expect(await askApp(plain.netns, b.v4, APP)).toBe(plain.v4);
    expect(proxy.captured).toHaveLength(1);
  });

  it("R17: works beside other people's tables and with strict reverse path checks, and leaves both alone", async () => {
    world.sysctl("b", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.eth0.rp_filter=1");
    const other = `table ip other {
      chain pre { type nat hook prerouting priority -90; policy accept; tcp dport 1 redirect to :2; }
      chain in { type filter hook input priority 0; policy accept; ct state invalid drop; }
    }`;
    world.nft("b", other);
    const before = world.run("b", "nft", "list", "table", "ip", "other");
    await install(b);
    closeLater(new StandInProxy(b.netns));
    closeLater(new EchoApp(b.netns, APP));
    expect(await askApp(plain.netns, b.v4, APP)).toBe(plain.v4);
    await removeRules(platform, b.netns.fd);
    expect(world.run("b", "nft", "list", "table", "ip", "other")).toBe(before);
  });

  it("takes DNS of a pod without DNS capture where it goes, and lets plaintext into a pod in ingress mode", async () => {
    await install(b, { dns: false, ingressMode: true });
    const proxy = closeLater(new StandInProxy(b.netns));
    closeLater(new EchoApp(b.netns, APP));
    expect(await askApp(plain.netns, b.v4, APP)).toBe(plain.v4);
    expect(proxy.captured).toEqual([]);
    closeLater(new EchoApp(plain.netns, 53));
    await askApp(b.netns, plain.v4, 53);
    expect(proxy.captured.map(({ to }) => to)).toEqual([`${plain.v4}:53`]);
  });

  it("treats what arrives from a guest's interface as outbound", async () => {
    await install(b, { virtualInterfaces: ["eth0"] });
    const proxy = closeLater(new StandInProxy(b.netns));
    closeLater(await dialled(plain.netns, b.v4, APP));
    await eventually("it is accepted", () => proxy.captured.length > 0);
    expect(proxy.captured).toEqual([{ port: "15001", from: plain.v4, to: `${b.v4}:${APP}` }]);
  });

  it("draining: what was captured goes on, new connections go direct", async () => {
    await install(b);
    const proxy = closeLater(new StandInProxy(b.netns));
    closeLater(new EchoApp(b.netns, APP));
    const captured = await dial(plain.netns, b.v4, APP);
    await once(captured, "data");
    await loadNftScript(platform, b.netns.fd, drainingRules(OPTIONS).script);
    captured.write("still here");
    const [echo] = await once(captured, "data", { signal: AbortSignal.timeout(15_000) });
    expect(String(echo)).toBe("still here");
    await askApp(plain.netns, b.v4, APP);
    expect(proxy.captured).toHaveLength(1);
    captured.destroy();
  });

  it("case 46: an application that forges the proxy's mark gets out uncaptured, but not into another pod", async () => {
    for (const pod of [a, b]) await install(pod);
    const [proxyA, proxyB] = [a, b].map(({ netns }) => closeLater(new StandInProxy(netns)));
    closeLater(new EchoApp(b.netns, APP));
    expect(await askApp(a.netns, b.v4, APP, { mark: PROXY_MARK })).toBe(a.v4);
    expect(proxyA?.captured).toEqual([]);
    expect(proxyB?.captured).toEqual([{ port: "15006", from: a.v4, to: `${b.v4}:${APP}` }]);
  });

  it("case 48: UDP and ICMP are left alone", async () => {
    for (const pod of [a, b]) await install(pod);
    const serverFd = platform.bindUdp({ netnsFd: b.netns.fd, ip: ipOf(b.v4), port: 9_999, reusePort: false });
    const server = closeLater(createSocket("udp4")).bind({ fd: serverFd });
    server.on("message", (message, peer) => server.send(message, peer.port, peer.address));
    const clientFd = platform.bindUdp({ netnsFd: a.netns.fd, ip: ipOf(a.v4), port: 0, reusePort: false });
    const client = closeLater(createSocket("udp4")).bind({ fd: clientFd });
    client.connect(9_999, b.v4);
    await once(client, "connect");
    client.send("datagram");
    const [echo] = await once(client, "message", { signal: AbortSignal.timeout(15_000) });
    expect(String(echo)).toBe("datagram");
    // Nobody listens there: the answer is an ICMP message.
    client.disconnect();
    client.connect(9_998, b.v4);
    await once(client, "connect");
    const refused = once(client, "error", { signal: AbortSignal.timeout(15_000) });
    client.send("datagram");
    expect(((await refused)[0] as NodeJS.ErrnoException).code).toBe("ECONNREFUSED");
  });

  describe("verification", () => {
    it("sees a flushed, a changed and a removed rule set, and not somebody else's change", async () => {
      const installed = await install(a);
      world.nft("a", "add table ip somebody");
      const again = await verifyRules(platform, a.netns.fd, installed);
      expect(again?.generation).toBe(installed.generation);
      world.nft("a", "insert rule inet ambit_redirect nat_out accept");
      expect(await verifyRules(platform, a.netns.fd, installed)).toBeUndefined();
      const repaired = await install(a);
      world.nft("a", "flush ruleset");
      expect(await verifyRules(platform, a.netns.fd, repaired)).toBeUndefined();
    });

    it("puts a missing rule and route back, and adds neither twice", async () => {
      const installed = await install(a);
      const before = world.traces("a");
      world.ip(
        "-n POD(a) rule del pref 32764",
        "-n POD(a) -6 rule del pref 32763",
        "-n POD(a) -6 route flush table 100",
      );
      expect(world.traces("a")).not.toBe(before);
      await verifyRules(platform, a.netns.fd, installed);
      await verifyRules(platform, a.netns.fd, installed);
      expect(world.traces("a")).toBe(before);
    });

    it("reports nft's own words when the rules cannot be loaded", async () => {
      const broken = { script: "table inet x {\n  chain c { nonsense }\n}\n", generation: "x" };
      await expect(installRules(platform, a.netns.fd, broken, [4])).rejects.toMatchObject({
        code: "REDIRECT_RULES_FAILED",
        message: expect.stringContaining("nonsense"),
      });
    });
  });
});

privileged("R10: every part of the way back of captured inbound connections is needed", () => {
  let world: PodWorld;
  let pod: TestPod;
  let plain: TestPod;
  let app: EchoApp;
  beforeAll(() => {
    world = new PodWorld(["b", "plain"]);
    [pod, plain] = world.pods as [TestPod, TestPod];
    app = new EchoApp(pod.netns, APP);
  });
  afterAll(() => {
    app.close();
    world.close();
  });

  const rules = redirectRules(OPTIONS);
  const without = (from: string | RegExp, to: string) => async (): Promise<void> => {
    const script = rules.script.replace(from, to);
    expect(script).not.toBe(rules.script);
    await loadNftScript(platform, pod.netns.fd, script);
  };
  const ablations: readonly [string, () => Promise<void> | void, (number | "none")?, ("v4" | "v6")?][] = [
    ["the routing rule", () => world.ip("-n POD(b) rule del pref 32764")],
    ["the delivery rule", () => world.ip("-n POD(b) -6 rule del pref 32763"), PROXY_MARK, "v6"],
    ["the local route", () => world.ip("-n POD(b) route flush table 100")],
    ["the connection mark", without(/ct mark set .*\n/, "counter\n")],
    ["restoring the mark", without("meta mark set ct mark", "counter")],
    ["the route type of that chain", without("type route hook", "type filter hook")],
    ["the proxy's mark", () => undefined, "none"],
  ];

  it.each(ablations)("without %s", async (_, ablate, mark = PROXY_MARK, family = "v4") => {
    await installRules(platform, pod.netns.fd, rules, [4, 6]);
    const proxy = new StandInProxy(pod.netns, { mark });
    try {
      if (mark !== "none") expect(await askApp(plain.netns, pod[family], APP)).toBe(plain[family]);
      await ablate();
      expect(await failureOf(askApp(plain.netns, pod[family], APP, { timeoutMs: 600 }))).not.toBe("");
    } finally {
      proxy.close();
      await removeRules(platform, pod.netns.fd);
    }
  });
});
