/** Delivery in an enrolled pod's namespace, with the real rules: from which address the application is called. */
import { ipOf } from "@ambit/shared/net";
import { linuxPlatform as platform } from "@ambit/shared/platform";
import { systemClock } from "@ambit/shared/time";
import { eventually } from "@ambit/testing/eventually";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { grantPermit } from "../src/authorize/permit.ts";
import { connectUpstream } from "../src/deliver/index.ts";
import { installRules } from "../src/enrolment/redirect/apply-rules.ts";
import { redirectRules } from "../src/enrolment/redirect/redirect-rules.ts";
import { EchoApp, PodWorld, type TestPod } from "./fixtures/pod-world.ts";

const root = process.getuid?.() === 0;
const privileged = root ? describe : describe.skip;
if (!root) process.stderr.write("delivery tests in namespaces skipped: not root\n");

const APP = 8080;

privileged("a connection to the application", () => {
  let world: PodWorld;
  let pod: TestPod;
  let app: EchoApp;
  beforeAll(async () => {
    world = new PodWorld(["b"]);
    [pod] = world.pods as [TestPod];
    const rules = redirectRules({ dns: true, ingressMode: false, ipv6: true, virtualInterfaces: [] });
    await installRules(platform, pod.netns.fd, rules, [4, 6]);
    app = new EchoApp(pod.netns, APP);
  });
  afterAll(() => {
    app.close();
    world.close();
  });

  it.each([
    ["an IPv4 client", "10.77.0.9", "v4", "10.77.0.9"],
    ["an IPv6 client", "fd77::9", "v6", "fd77::9"],
    ["an IPv4 link-local client", "169.254.3.3", "v4", "169.254.3.3"],
    ["an IPv6 link-local client, which no address of another interface can answer", "fe80::1234", "v6", "the pod"],
    ["a client of the other family", "10.77.0.9", "v6", "the pod"],
  ] as const)("of %s comes from %s", async (_what, source, family, seen) => {
    const connection = await connectUpstream(grantPermit(), {
      platform,
      clock: systemClock,
      origin: { netnsFd: pod.netns.fd },
      target: { ip: ipOf(pod[family]), port: APP },
      spoofedSource: ipOf(source),
      timeoutMs: 3_000,
    });
    const peer = await eventually("the application was called", () => app.peers.pop());
    expect(peer).toBe(seen === "the pod" ? pod[family] : seen);
    connection.destroy();
  });
});
