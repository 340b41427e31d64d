import { silentLogger } from "@ambit/shared/log";
import { ipOf } from "@ambit/shared/net";
import { linuxPlatform as platform } from "@ambit/shared/platform";
import { systemClock } from "@ambit/shared/time";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { installRules } from "../src/enrolment/redirect/apply-rules.ts";
import { HostGuard } from "../src/enrolment/redirect/host-guard.ts";
import { redirectRules } from "../src/enrolment/redirect/redirect-rules.ts";
import { askApp, EchoApp, PodWorld, type TestPod } from "./fixtures/pod-world.ts";
import { StandInProxy } from "./fixtures/stand-in-proxy.ts";

const root = process.getuid?.() === 0;
const privileged = root ? describe : describe.skip;
if (!root) process.stderr.write("probe rule tests skipped: not root\n");

const APP = 8080;
const PROBE = "169.254.7.127";

privileged("the node's probe rules", () => {
  let world: PodWorld;
  let pod: TestPod;
  let plain: TestPod;
  let proxy: StandInProxy;
  let app: EchoApp;
  let host: HostGuard;

  beforeEach(async () => {
    world = new PodWorld(["b", "plain"]);
    [pod, plain] = world.pods as [TestPod, TestPod];
    const rules = redirectRules({ dns: true, ingressMode: false, ipv6: true, virtualInterfaces: [] });
    await installRules(platform, pod.netns.fd, rules, [4, 6]);
    proxy = new StandInProxy(pod.netns);
    app = new EchoApp(pod.netns, APP);
    host = new HostGuard({ platform, netnsFd: world.node.fd, clock: systemClock, log: silentLogger });
    await host.start();
    await host.setPod("uid-b", [ipOf(pod.v4), ipOf(pod.v6)]);
  });
  afterEach(async () => {
    await host.stop({ remove: true });
    app.close();
    proxy.close();
    world.close();
  });

  const masquerade = (priority: number): void =>
    world.nft("node", `table ip cni { chain post { type nat hook postrouting priority ${priority}; masquerade; }; }`);
  const serviceAddress = (): void =>
    world.nft(
      "node",
      `table ip svc {
        chain out { type nat hook output priority -100; ip daddr 10.96.0.10 dnat to ${pod.v4}; }
      }`,
    );

  const probed = async (): Promise<boolean> => (await askApp(world.node, pod.v4, APP, { timeoutMs: 2_000 })) === PROBE;

  it("R7: a probe of the node reaches the application directly, over IPv4 and IPv6", async () => {
    expect(await askApp(world.node, pod.v4, APP)).toBe(PROBE);
    expect(await askApp(world.node, pod.v6, APP)).toBe("fd16:9254:7127:1337:ffff:ffff:ffff:ffff");
    expect(proxy.captured).toEqual([]);
  });

  it("R7: another node and a neighbour are captured like anybody", async () => {
    expect(await askApp(world.otherNode, pod.v4, APP)).toBe("10.89.0.2");
    expect(await askApp(plain.netns, pod.v4, APP)).toBe(plain.v4);
    expect(proxy.captured.map(({ port }) => port)).toEqual(["15006", "15006"]);
  });

  it("R7: a probe by way of a service's address is exempt too, which is documented", async () => {
    serviceAddress();
    world.ip("-n NODE route add default via 10.89.0.2");
    expect(await askApp(world.node, "10.96.0.10", APP)).toBe(PROBE);
  });

  it("R7: a pod that is not listed is captured", async () => {
    await host.removePod("uid-b");
    expect(await askApp(world.node, pod.v4, APP)).toBe("10.88.0.1");
  });

  it.each([100, 101])(
    "R8: comes before somebody's masquerade at priority %d, whoever registered last",
    async (priority) => {
      masquerade(priority);
      expect(await askApp(world.node, pod.v4, APP)).toBe(PROBE);
      await host.setPod("uid-other", [ipOf("10.88.0.77")]);
      expect(await askApp(world.node, pod.v4, APP)).toBe(PROBE);
    },
  );

  it("R16: drops packets from outside that claim to be a probe", async () => {
    world.ip(
      "-n POD(plain) addr add 169.254.7.127/32 dev eth0",
      `-n POD(plain) route add ${pod.v4}/32 via 10.88.0.1 src 169.254.7.127`,
      `-n POD(b) route add 169.254.7.127/32 via ${plain.v4}`,
    );
    await expect(askApp(plain.netns, pod.v4, APP, { timeoutMs: 600 })).rejects.toThrow();
    expect(app.peers).toEqual([]);
  });

  it("keeps the address of a new pod when the old one that had it is removed later", async () => {
    await host.setPod("uid-new", [ipOf(pod.v4)]);
    await host.removePod("uid-b");
    expect(await askApp(world.node, pod.v4, APP)).toBe(PROBE);
    expect(world.run("node", "nft", "list", "set", "inet", "ambit_host", "probes4")).toContain('comment "uid-new"');
  });

  it("writes many changes at once in few transactions, and all of them", async () => {
    const pods = Array.from({ length: 200 }, (_, index) => index);
    await Promise.all(pods.map((index) => host.setPod(`uid-${index}`, [ipOf(`10.90.0.${index}`)])));
    const listed = world.run("node", "nft", "list", "set", "inet", "ambit_host", "probes4");
    expect(listed.match(/10\.90\.0\./g)).toHaveLength(200);
  });

  it("puts itself back within seconds after a flush of the node's rules", async () => {
    world.nft("node", "flush ruleset");
    await eventually("the probe is exempt again", probed);
    await eventually("the repair is counted", () => host.repairs === 1);
    world.nft("node", "delete table inet ambit_host");
    await eventually("the probe is exempt again", probed);
    await eventually("the second repair is counted", () => host.repairs === 2);
  });

  it("counts a repair of rules that vanish while they are being written", async () => {
    await host.stop({ remove: true });
    let rival = (): void => undefined;
    const contested = {
      ...platform,
      netlinkExchange: (...args: Parameters<typeof platform.netlinkExchange>) => {
        rival();
        rival = () => undefined;
        return platform.netlinkExchange(...args);
      },
    };
    host = new HostGuard({ platform: contested, netnsFd: world.node.fd, clock: systemClock, log: silentLogger });
    await host.start();
    rival = () => world.nft("node", "delete table inet ambit_host");
    await expect(host.setPod("uid-b", [ipOf(pod.v4)])).rejects.toThrow("gone right after nft loaded them");
    await eventually("the probe is exempt again", probed);
    await eventually("the repair is counted", () => host.repairs === 1);
  });

  it("leaves the pods of an earlier process exempt until it is told who is still there", async () => {
    await host.stop({ remove: false });
    host = new HostGuard({ platform, netnsFd: world.node.fd, clock: systemClock, log: silentLogger });
    await host.start();
    expect(await askApp(world.node, pod.v4, APP)).toBe(PROBE);
    await host.retain(new Set(["uid-b"]));
    expect(await askApp(world.node, pod.v6, APP)).toBe("fd16:9254:7127:1337:ffff:ffff:ffff:ffff");
    await host.stop({ remove: false });
    host = new HostGuard({ platform, netnsFd: world.node.fd, clock: systemClock, log: silentLogger });
    await host.start();
    await host.retain(new Set());
    expect(await askApp(world.node, pod.v4, APP)).toBe("10.88.0.1");
  });

  it("does not mind other people's tables", async () => {
    const before = world.run("node", "nft", "list", "tables");
    masquerade(100);
    await new Promise((resolve) => setTimeout(resolve, 2_300));
    expect(host.repairs).toBe(0);
    await host.stop({ remove: true });
    expect(world.run("node", "nft", "list", "tables")).not.toContain("ambit");
    expect(before).toContain("ambit_host");
  });
});
