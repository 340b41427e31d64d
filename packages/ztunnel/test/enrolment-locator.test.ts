import { mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ipOf } from "@ambit/shared/net";
import { type Netns, linuxPlatform as platform } from "@ambit/shared/platform";
import { temporaryFolder } from "@ambit/testing/files";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { directoryLocator, processLocator } from "../src/enrolment/index.ts";
import { PodWorld, type TestPod } from "./fixtures/pod-world.ts";

const root = process.getuid?.() === 0;
const privileged = root ? describe : describe.skip;
if (!root) process.stderr.write("namespace search tests skipped: not root\n");

const UID = "6f1c2e0a-9b1d-4c3e-8f00-0123456789ab";
const OTHER_UID = "7f1c2e0a-9b1d-4c3e-8f00-0123456789ab";
/** Of namespaces: others open and close with what else this process does. */
const openNamespaces = (): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return /^net:|^\/run\/netns\//.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;

privileged("finding a pod's namespace", () => {
  let world: PodWorld;
  let pod: TestPod;
  let neighbour: TestPod;
  let folder: string;
  const found: Netns[] = [];

  beforeAll(() => {
    world = new PodWorld(["a", "b"]);
    [pod, neighbour] = world.pods as [TestPod, TestPod];
  });
  afterAll(() => world.close());
  beforeEach(() => {
    folder = temporaryFolder("locate");
    addProcess(1, { netns: "/proc/self/ns/net", cgroup: "/init.scope", start: 1 });
  });
  afterEach(() => {
    for (const netns of found.splice(0)) netns.close();
  });

  interface FakeProcess {
    readonly netns: string;
    readonly cgroup: string;
    readonly start: number;
  }
  /** A process as it looks below /proc; its namespace is a real one. */
  function addProcess(pid: number, { netns, cgroup, start }: FakeProcess): void {
    mkdirSync(join(folder, String(pid), "ns"), { recursive: true });
    symlinkSync(netns, join(folder, String(pid), "ns", "net"));
    writeFileSync(join(folder, String(pid), "cgroup"), `0::${cgroup}\n`);
    const fields = Array.from({ length: 19 }, () => "0");
    writeFileSync(join(folder, String(pid), "stat"), `${pid} (app) ${fields.join(" ")} ${start} 0\n`);
  }
  const container = (uid: string): string => `/kubepods/burstable/pod${uid}/container`;
  const sought = (over: Partial<{ uid: string; ips: string[] }> = {}) => ({
    uid: over.uid ?? UID,
    ips: (over.ips ?? [pod.v4]).map(ipOf),
  });

  async function search(pods = [sought()]): Promise<Record<string, string>> {
    const results = await processLocator(platform, folder).locate(pods);
    return Object.fromEntries(
      [...results].map(([uid, result]) => {
        if (result.ok) found.push(result.value);
        return [uid, result.ok ? result.value.id : `${result.error.code} ${result.error.message}`];
      }),
    );
  }

  it("finds it by the cgroup of a process, for several pods in one scan", async () => {
    addProcess(10, { netns: world.pathOf("a"), cgroup: container(UID), start: 5 });
    addProcess(11, { netns: world.pathOf("b"), cgroup: container(OTHER_UID), start: 6 });
    const pods = [sought(), sought({ uid: OTHER_UID, ips: [neighbour.v6] })];
    expect(await search(pods)).toEqual({ [UID]: pod.netns.id, [OTHER_UID]: neighbour.netns.id });
  });

  it("case 50: a decoy process that entered another pod's namespace is not believed", async () => {
    addProcess(10, { netns: world.pathOf("b"), cgroup: container(UID), start: 5 });
    expect((await search())[UID]).toMatch(
      /NETNS_MISMATCH process 10 is in another namespace: it has .*10\.88\.0\.3.* none of the pod's/,
    );
    addProcess(12, { netns: world.pathOf("a"), cgroup: container(UID), start: 9 });
    expect((await search())[UID]).toBe(pod.netns.id);
  });

  it("case 50: a helper of the pod that runs in the node's namespace is not believed", async () => {
    addProcess(10, { netns: "/proc/self/ns/net", cgroup: container(UID), start: 5 });
    expect((await search())[UID]).toMatch(/node's own network namespace/);
    rmSync(join(folder, "1"), { recursive: true });
    addProcess(1, { netns: world.pathOf("node"), cgroup: "/", start: 1 });
    addProcess(11, { netns: world.pathOf("node"), cgroup: container(UID), start: 6 });
    // Even if the node had the pod's address.
    expect((await search([sought({ ips: ["10.88.0.1"] })]))[UID]).toMatch(/node's own network namespace/);
  });

  it("case 50: of two namespaces that could be the pod's, the oldest process decides", async () => {
    const twin = new PodWorld(["a"]);
    try {
      addProcess(20, { netns: twin.pathOf("a"), cgroup: container(UID), start: 50 });
      addProcess(30, { netns: world.pathOf("a"), cgroup: container(UID), start: 40 });
      addProcess(9, { netns: twin.pathOf("a"), cgroup: container(UID), start: 60 });
      expect((await search())[UID]).toBe(pod.netns.id);
    } finally {
      twin.close();
    }
  });

  it("case 50: a pid that was reused while it was looked at is not believed", async () => {
    addProcess(10, { netns: world.pathOf("a"), cgroup: container(UID), start: 5 });
    const reusing = {
      ...platform,
      openNetns(path: string) {
        if (path.includes("/10/")) writeFileSync(join(folder, "10", "cgroup"), `0::${container(OTHER_UID)}\n`);
        return platform.openNetns(path);
      },
    };
    const results = await processLocator(reusing, folder).locate([sought()]);
    expect(results.get(UID)).toMatchObject({ ok: false, error: { message: expect.stringMatching(/was replaced/) } });
  });

  it("skips processes that end during the scan, and pods without a known address", async () => {
    mkdirSync(join(folder, "13"));
    addProcess(14, { netns: "/nowhere", cgroup: container(UID), start: 3 });
    expect((await search())[UID]).toMatch(/no process of the pod/);
    addProcess(15, { netns: world.pathOf("a"), cgroup: container(UID), start: 5 });
    expect((await search([sought({ ips: [] })]))[UID]).toMatch(/none known/);
  });

  it("leaves no descriptor open for what it did not return", async () => {
    addProcess(10, { netns: world.pathOf("b"), cgroup: container(UID), start: 5 });
    addProcess(11, { netns: world.pathOf("a"), cgroup: container(UID), start: 9 });
    addProcess(12, { netns: world.pathOf("a"), cgroup: container(UID), start: 7 });
    await search();
    const before = openNamespaces();
    await search();
    expect(openNamespaces()).toBe(before + 1);
  });

  it("finds it by a bind mount of the pod's uid, and believes that no more", async () => {
    const netnsDir = temporaryFolder("netns");
    symlinkSync(world.pathOf("a"), join(netnsDir, UID));
    symlinkSync(world.pathOf("b"), join(netnsDir, OTHER_UID));
    symlinkSync("/proc/self/ns/net", join(netnsDir, "self"));
    const locator = directoryLocator(platform, netnsDir);
    const pods = [sought(), sought({ uid: OTHER_UID }), sought({ uid: "self" }), sought({ uid: "../x" })];
    const results = await locator.locate([...pods, sought({ uid: "absent" })]);
    const texts = [...results.values()].map((result) => (result.ok ? result.value.id : result.error.message));
    expect(texts).toEqual([
      pod.netns.id,
      expect.stringMatching(/not this pod's namespace: it has .*10\.88\.0\.3/),
      expect.stringMatching(/node's own network namespace/),
      expect.stringMatching(/cannot be a file name/),
      expect.stringMatching(/ENOENT/),
    ]);
    for (const result of results.values()) if (result.ok) result.value.close();
  });
});
