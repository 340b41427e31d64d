import { once } from "node:events";
import { readdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type KubeObject, objectKey } from "@ambit/shared/kube";
import { silentLogger } from "@ambit/shared/log";
import { ipOf } from "@ambit/shared/net";
import { linuxPlatform as platform, portablePlatform } from "@ambit/shared/platform";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { eventually } from "@ambit/testing/eventually";
import { temporaryFolder } from "@ambit/testing/files";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import {
  createEnrolment,
  type DataPlane,
  type DataPlanePod,
  directoryLocator,
  type Enrolment,
  type EnrolmentInit,
  preflight,
} from "../src/enrolment/index.ts";
import { MemorySource } from "./fixtures/memory-source.ts";
import { askApp, dial, EchoApp, PodWorld, type TestPod } from "./fixtures/pod-world.ts";
import { StandInProxy } from "./fixtures/stand-in-proxy.ts";

const root = process.getuid?.() === 0;
const privileged = root ? describe : describe.skip;
if (!root) process.stderr.write("enrolment tests skipped: not root\n");

const APP = 8080;
const UID = "6f1c2e0a-9b1d-4c3e-8f00-0123456789ab";
const AMBIENT = { "istio.io/dataplane-mode": "ambient" };
const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

const namespace = (labels: Record<string, string> = AMBIENT): KubeObject => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name: "shop", labels },
});

interface PodParts {
  readonly uid?: string;
  readonly ips?: readonly string[];
  readonly phase?: string;
  readonly annotations?: Record<string, string>;
}
function podObject({ uid = UID, ips = [], phase = "Running", annotations = {} }: PodParts): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "shop", uid, annotations },
    spec: { nodeName: "node1", serviceAccountName: "web-sa" },
    status: { phase, podIPs: ips.map((ip) => ({ ip })) },
  };
}
const KEY = objectKey(podObject({}));

/** Serves pods with stand-in proxies. */
class StandInDataPlane implements DataPlane {
  readonly proxies = new Map<string, StandInProxy>();
  readonly events: string[] = [];
  failures = 0;
  /** What a graceful detach waits for. */
  drained: Promise<void> = Promise.resolve();

  async attach({ uid, name, namespace: ns, serviceAccount, netnsFd, listenersFor }: DataPlanePod): Promise<void> {
    const listeners = listenersFor(0);
    if (this.failures > 0) {
      this.failures--;
      for (const fd of [listeners.outbound, listeners.inboundPlaintext, listeners.hbone]) platform.close(fd as number);
      for (const fd of [...listeners.dnsTcp, ...listeners.dnsUdp]) platform.close(fd);
      throw new Error("no worker is up");
    }
    this.events.push(`attach ${ns}/${name} ${serviceAccount}`);
    const netns = { fd: platform.duplicate(netnsFd as number), id: "", close: () => platform.close(netns.fd) };
    const proxy = new StandInProxy(netns, { listeners });
    const { close } = proxy;
    proxy.close = () => {
      close.call(proxy);
      netns.close();
    };
    this.proxies.set(uid, proxy);
  }

  async detach(uid: string, { graceful }: { graceful: boolean }): Promise<void> {
    this.events.push(`detach ${graceful ? "gracefully" : "at once"}`);
    this.proxies.get(uid)?.stopListening();
    if (graceful) await this.drained;
    this.proxies.get(uid)?.close();
    this.proxies.delete(uid);
  }
}

privileged("enrolment", () => {
  let world: PodWorld;
  let pod: TestPod;
  let plain: TestPod;
  let netnsDir: string;
  let source: MemorySource;
  let dataPlane: StandInDataPlane;
  let app: EchoApp;
  const enrolments: Enrolment[] = [];
  const ips = (): string[] => [pod.v4, pod.v6];

  beforeEach(() => {
    world = new PodWorld(["web", "plain"]);
    [pod, plain] = world.pods as [TestPod, TestPod];
    netnsDir = temporaryFolder("enrol");
    symlinkSync(world.pathOf("web"), join(netnsDir, UID));
    source = new MemorySource(namespace(), podObject({ ips: ips() }));
    dataPlane = new StandInDataPlane();
    app = new EchoApp(pod.netns, APP);
  });
  afterEach(async () => {
    await Promise.allSettled(enrolments.splice(0).map((enrolment) => enrolment.stop()));
    for (const proxy of dataPlane.proxies.values()) proxy.close();
    app.close();
    world.close();
  });

  function start(over: Partial<EnrolmentInit> = {}): Enrolment {
    const enrolment = createEnrolment(
      {
        source,
        platform,
        nodeName: "node1",
        capture: "netns",
        locator: directoryLocator(platform, netnsDir),
        hostNetns: platform.openNetns(world.pathOf("node")),
        workerCount: 1,
        dnsEnabled: true,
        clock: systemClock,
        random: systemRandom,
        log: silentLogger,
        verifyMs: 200,
        propagationMs: 100,
        ...over,
      },
      dataPlane,
    );
    enrolments.push(enrolment);
    return enrolment;
  }
  /** Finds nothing before `until`. */
  const waitingLocator = (until: Promise<void>): EnrolmentInit["locator"] => {
    const inner = directoryLocator(platform, netnsDir);
    return { locate: (pods) => until.then(() => inner.locate(pods)) };
  };
  const stateOf = (enrolment: Enrolment): string => enrolment.status()[0]?.state ?? "none";
  const annotated = (value: string | undefined): Promise<true> =>
    eventually(`the annotation is ${value}`, () => source.annotation(KEY) === value);

  it("enrols a running pod when its namespace is labelled, and says so when everything is in place", async () => {
    source.put(namespace({}));
    const enrolment = start();
    await enrolment.start();
    expect(enrolment.status()[0]).toMatchObject({ state: "not enrolled", inMesh: false });
    // What holds at the moment the annotation is written, is what peers may rely on.
    let atAnnotation: string[] = [];
    source.onPatch = async (patch) => {
      if (!JSON.stringify(patch).includes("enabled")) return;
      atAnnotation = [await askApp(plain.netns, pod.v4, APP), await askApp(world.node, pod.v4, APP)];
    };
    source.put(namespace());
    await annotated("enabled");
    expect(atAnnotation).toEqual([plain.v4, "169.254.7.127"]);
    expect(dataPlane.events).toEqual(["attach shop/web web-sa"]);
    expect(dataPlane.proxies.get(UID)?.captured.map(({ port }) => port)).toEqual(["15006"]);
    expect(enrolment.status()).toEqual([
      { uid: UID, namespace: "shop", name: "web", inMesh: true, state: "enrolled", reason: "" },
    ]);
    expect(enrolment.counts()).toEqual({ active: 1, pending: 0, started: 1, stopped: 0 });
    expect(enrolment.settled()).toBe(true);
  });

  it("exempts probes before anything is captured", async () => {
    // What holds as soon as the rules are in: the data plane is asked only then.
    let atAttach = "";
    const { attach } = dataPlane;
    dataPlane.attach = async (wanted) => {
      await attach.call(dataPlane, wanted);
      atAttach = await askApp(world.node, pod.v4, APP);
    };
    await start().start();
    await annotated("enabled");
    expect(atAttach).toBe("169.254.7.127");
    expect(dataPlane.proxies.get(UID)?.captured).toEqual([]);
  });

  it("exempts the probes of pods that are captured already while it starts again", async () => {
    const first = start();
    await first.start();
    await annotated("enabled");
    await first.stop();
    dataPlane.proxies.get(UID)?.close();
    dataPlane.proxies.clear();
    const held = Promise.withResolvers<void>();
    let starting = false;
    const { attach } = dataPlane;
    dataPlane.attach = async (wanted) => {
      starting = true;
      await held.promise;
      await attach.call(dataPlane, wanted);
    };
    const slow: typeof first = start({ locator: waitingLocator(held.promise) });
    await slow.start();
    expect(await askApp(world.node, pod.v4, APP)).toBe("169.254.7.127");
    expect(starting).toBe(false);
    held.resolve();
    await eventually("it is served again", () => stateOf(slow) === "enrolled");
  });

  it("un-enrols gracefully: annotation first, new connections direct, live ones until they end, then no trace", async () => {
    const before = world.traces("web");
    const enrolment = start();
    await enrolment.start();
    await annotated("enabled");
    const live = await dial(plain.netns, pod.v4, APP);
    await once(live, "data");
    const drained = Promise.withResolvers<void>();
    dataPlane.drained = drained.promise;
    source.put(namespace({}));
    await annotated(undefined);
    expect(dataPlane.events).not.toContain("detach gracefully");
    await eventually("the data plane is told", () => dataPlane.events.includes("detach gracefully"));
    const captured = dataPlane.proxies.get(UID)?.captured.length;
    expect(await askApp(plain.netns, pod.v4, APP)).toBe(plain.v4);
    expect(dataPlane.proxies.get(UID)?.captured.length).toBe(captured);
    live.write("still here");
    expect(String((await once(live, "data"))[0])).toBe("still here");
    live.destroy();
    drained.resolve();
    await eventually("it is out", () => stateOf(enrolment) === "not enrolled" && enrolment.counts().stopped === 1);
    expect(world.traces("web")).toBe(before);
    expect(world.run("node", "nft", "list", "set", "inet", "ambit_host", "probes4")).not.toContain(pod.v4);
  });

  it("leaves pods captured and refusing when the process ends, and takes them over when it starts again", async () => {
    const first = start();
    await first.start();
    await annotated("enabled");
    await first.stop();
    await dataPlane.detach(UID, { graceful: false });
    expect(source.annotation(KEY)).toBe("enabled");
    await expect(dial(plain.netns, pod.v4, APP)).rejects.toThrow(/ECONNREFUSED/);
    const second = start();
    await second.start();
    await eventually("it is enrolled again", () => stateOf(second) === "enrolled");
    expect(await askApp(plain.netns, pod.v4, APP)).toBe(plain.v4);
  });

  it("un-enrols everything when stopped for an uninstallation", async () => {
    const before = world.traces("web");
    const enrolment = start({ unenrolOnStop: true });
    await enrolment.start();
    await annotated("enabled");
    await enrolment.stop();
    expect(world.traces("web")).toBe(before);
    expect(source.annotation(KEY)).toBeUndefined();
    expect(world.run("node", "nft", "list", "tables")).not.toContain("ambit");
    expect(await askApp(plain.netns, pod.v4, APP)).toBe(plain.v4);
  });

  it("takes away what an earlier process left in a pod that is not in the mesh any more", async () => {
    const before = world.traces("web");
    const first = start();
    await first.start();
    await annotated("enabled");
    await first.stop();
    await dataPlane.detach(UID, { graceful: false });
    source.put(namespace({}));
    await start().start();
    await annotated(undefined);
    await eventually("no trace is left", () => world.traces("web") === before);
  });

  it("keeps a pod cut off and says pending while it cannot be served, and tries until it can", async () => {
    dataPlane.failures = Number.POSITIVE_INFINITY;
    const enrolment = start();
    await enrolment.start();
    await eventually("it is pending", () => stateOf(enrolment) === "pending");
    await eventually("it says why", () => /no worker is up/.test(enrolment.status()[0]?.reason ?? ""));
    expect(source.patched[0]?.patch).toEqual({
      metadata: { annotations: { "ambient.istio.io/redirection": "pending" } },
    });
    dataPlane.failures = 0;
    await annotated("enabled");
    expect(await askApp(plain.netns, pod.v4, APP)).toBe(plain.v4);
  });

  it("cuts a pod off rather than leave it in plaintext when a capture port is taken there", async () => {
    const squatter = new EchoApp(pod.netns, 15006);
    const enrolment = start();
    await enrolment.start();
    await annotated("pending");
    const reason = /PLATFORM_CALL_FAILED: bind .*15006: EADDRINUSE/;
    await eventually("it says why", () => reason.test(enrolment.status()[0]?.reason ?? ""));
    squatter.close();
    await annotated("enabled");
  });

  it("waits for a namespace that is not there yet", async () => {
    rmSync(join(netnsDir, UID));
    const enrolment = start();
    await enrolment.start();
    await eventually("a reason is given", () => /NETNS_NOT_FOUND/.test(enrolment.status()[0]?.reason ?? ""));
    expect(enrolment.settled()).toBe(true);
    symlinkSync(world.pathOf("web"), join(netnsDir, UID));
    await annotated("enabled");
  });

  it("repairs rules that were flushed in the pod, and an annotation that somebody changed", async () => {
    const enrolment = start();
    await enrolment.start();
    await annotated("enabled");
    world.nft("web", "flush ruleset");
    await eventually("plaintext is captured again", async () => {
      await askApp(plain.netns, pod.v4, APP, { timeoutMs: 2_000 });
      return (dataPlane.proxies.get(UID)?.captured.length ?? 0) > 0;
    });
    await source.patch(KEY, "ztunnel", { metadata: { annotations: { "ambient.istio.io/redirection": null } } });
    await annotated("enabled");
    expect(dataPlane.events).toHaveLength(1);
  });

  it("serves a pod anew whose sandbox was made again under the same uid", async () => {
    const enrolment = start();
    await enrolment.start();
    await annotated("enabled");
    const twin = new PodWorld(["web", "plain"]);
    try {
      rmSync(join(netnsDir, UID));
      symlinkSync(twin.pathOf("web"), join(netnsDir, UID));
      await eventually(
        "it is attached again",
        () => dataPlane.events.filter((event) => event.startsWith("attach")).length === 2,
      );
      const [newPod, client] = twin.pods as [TestPod, TestPod];
      const newApp = new EchoApp(newPod.netns, APP);
      expect(await askApp(client.netns, newPod.v4, APP)).toBe(client.v4);
      expect(dataPlane.events).toEqual(["attach shop/web web-sa", "detach at once", "attach shop/web web-sa"]);
      newApp.close();
      for (const enrolled of enrolments.splice(0)) await enrolled.stop();
    } finally {
      twin.close();
    }
  });

  it("applies a changed annotation of a running pod at once, without ending its connections", async () => {
    const enrolment = start({ verifyMs: 60_000 });
    await enrolment.start();
    await annotated("enabled");
    const live = await dial(plain.netns, pod.v4, APP);
    await once(live, "data");
    source.put(podObject({ ips: ips(), annotations: { "ambient.istio.io/bypass-inbound-capture": "true" } }));
    await eventually("plaintext goes direct", async () => {
      const before = dataPlane.proxies.get(UID)?.captured.length;
      await askApp(plain.netns, pod.v4, APP, { timeoutMs: 2_000 });
      return dataPlane.proxies.get(UID)?.captured.length === before;
    });
    live.write("still here");
    expect(String((await once(live, "data"))[0])).toBe("still here");
    live.destroy();
  });

  it("follows a pod's addresses, and drops a deleted pod with everything it held", async () => {
    const enrolment = start();
    await enrolment.start();
    await annotated("enabled");
    const probes = (): string => world.run("node", "nft", "list", "set", "inet", "ambit_host", "probes4");
    world.ip("-n POD(web) addr add 10.88.0.200/24 dev eth0");
    source.put(podObject({ ips: [...ips(), "10.88.0.200"] }));
    await eventually("the new address is exempt", () => probes().includes("10.88.0.200"));
    source.delete(KEY);
    await eventually("it is forgotten", () => enrolment.status().length === 0);
    await eventually("its probes are not exempt", () => !probes().includes("10.88.0."));
    expect(dataPlane.events.at(-1)).toBe("detach at once");
    await eventually("its patch is gone", () =>
      isDeepStrictEqual(source.patched.at(-1), { key: KEY, patch: undefined }),
    );
  });

  it("leaks no descriptor over many enrolments", async () => {
    const enrolment = start();
    await enrolment.start();
    const round = async (): Promise<void> => {
      source.put(namespace());
      await eventually("in", () => stateOf(enrolment) === "enrolled");
      source.put(namespace({}));
      await eventually("out", () => stateOf(enrolment) === "not enrolled");
    };
    await round();
    const before = openDescriptors();
    for (let index = 0; index < 3; index++) await round();
    await eventually("all is closed", () => openDescriptors() <= before);
  });

  it("repeats writing the annotation until the API takes it", async () => {
    source.failures = 2;
    const enrolment = start();
    await enrolment.start();
    await annotated("enabled");
    expect(stateOf(enrolment)).toBe("enrolled");
  });
});

privileged("preflight", () => {
  it("captures one connection out and one in, in namespaces of its own, and leaves nothing open", async () => {
    await preflight(platform);
    const before = openDescriptors();
    const { ipv6 } = await preflight(platform);
    expect(typeof ipv6).toBe("boolean");
    await eventually("all is closed", () => openDescriptors() <= before);
  });

  it("names what is missing", async () => {
    const unmarked = {
      ...platform,
      dialTcp: (options: Parameters<typeof platform.dialTcp>[0]) => platform.dialTcp({ ...options, mark: 1 }),
    };
    await expect(preflight(unmarked)).rejects.toMatchObject({
      code: "REDIRECT_RULES_FAILED",
      message: expect.stringMatching(/trial capture: .*did not reach the application/),
    });
  }, 20_000);
});

describe("explicit enrolment", () => {
  it("serves a loopback pod without privileges, and lets it go again", async () => {
    const pod = podObject({ ips: ["127.77.0.5"] });
    const source = new MemorySource(namespace(), pod);
    const attached: DataPlanePod[] = [];
    const events: string[] = [];
    const dataPlane: DataPlane = {
      async attach(each) {
        const { hbone, socks5, dnsUdp } = each.listenersFor(0);
        events.push(`${portablePlatform.boundPort(hbone)} ${portablePlatform.boundPort(socks5 as number)}`);
        expect(dnsUdp).toEqual([]);
        attached.push(each);
        for (const fd of [hbone, socks5 as number]) portablePlatform.close(fd);
      },
      async detach(_, { graceful }) {
        events.push(`detach ${graceful}`);
      },
    };
    const enrolment = createEnrolment(
      {
        source,
        platform: portablePlatform,
        nodeName: "node1",
        capture: "explicit",
        locator: { locate: () => Promise.reject(new Error("no namespace must be looked for")) },
        workerCount: 1,
        dnsEnabled: true,
        clock: systemClock,
        random: systemRandom,
        log: silentLogger,
        propagationMs: 10,
      },
      dataPlane,
    );
    await enrolment.start();
    await eventually("it is annotated", () => source.annotation(KEY) === "enabled");
    expect(attached[0]).toMatchObject({ explicitAddress: ipOf("127.77.0.5"), serviceAccount: "web-sa" });
    expect(attached[0]).not.toHaveProperty("netnsFd");
    source.put(namespace({}));
    await eventually("it is out", () => enrolment.counts().stopped === 1);
    expect(events).toEqual(["15008 15080", "detach true"]);
    source.put(namespace(), podObject({ ips: ["10.1.1.1"] }));
    await eventually("it says why not", () => /serves pods on 127/.test(enrolment.status()[0]?.reason ?? ""));
    await enrolment.stop();
  });
});
