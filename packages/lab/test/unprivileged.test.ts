import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { isRoot, LabFixture, processesNaming } from "./lab-fixture.ts";

const NOBODY = 65_534;
const AS_NOBODY = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
const MAIN = programPath("packages/lab/src/main.ts");
/** Root's own folder is closed to others; a checkout in it is tried as root, with the mode of who is not. */
const somebody = isRoot && spawnSync("setpriv", [...AS_NOBODY, "test", "-r", MAIN]).status === 0 ? NOBODY : undefined;
const asSomebody = somebody === undefined ? ["--no-new-privs"] : AS_NOBODY;
const who = somebody === undefined ? {} : { uid: somebody };
const usernsAllowed =
  isRoot && spawnSync("setpriv", [...asSomebody, "unshare", "--user", "--map-root-user", "--net", "true"]).status === 0;

/** The lab client enters as the user whose lab it is. */
async function inPod(lab: LabFixture, pod: string, line: string): Promise<string> {
  const plan = await lab.client.exec({ namespace: "app", pod });
  const command = [...asSomebody, ...plan.argv, "sh", "-c", line];
  return spawnSync("setpriv", command, {
    encoding: "utf8",
    env: { ...process.env, ...plan.env },
    timeout: 40_000,
  }).stdout.trimEnd();
}

(usernsAllowed ? describe : describe.skip)("a lab in a user namespace (needs those to be allowed)", () => {
  const lab = new LabFixture(somebody === undefined ? { mode: "userns" } : who);
  beforeAll(async () => {
    expect(await lab.up()).toMatchObject({ ok: true, mode: "userns" });
    await lab.ready();
  });
  afterAll(() => lab.down());

  it("has services and names as root's has", async () => {
    expect(await inPod(lab, "client", "curl -s -m 20 http://server.app/")).toContain("server-");
    expect(await inPod(lab, "client", "getent ahostsv4 headless.app")).toMatch(/^10\./);
  });

  it("captures links", async () => {
    const { id } = await lab.client.startCapture("node2");
    await eventually(
      "something crossed",
      async () => (await inPod(lab, "client", "curl -s -m 20 http://server.app/")) !== "",
    );
    expect((await lab.client.stopCapture(id)).packets).toBeGreaterThanOrEqual(0);
  });
});

describe("a lab without namespaces", () => {
  const lab = new LabFixture({ mode: "loopback", ...who });
  const second = new LabFixture({ mode: "loopback", ...who });
  beforeAll(async () => {
    expect(await lab.up()).toMatchObject({ ok: true, mode: "loopback" });
    await lab.ready();
  });
  afterAll(async () => {
    await lab.down();
    await second.down();
  });

  const curl = (target: string): Promise<string> => lab.sh("client", `curl -s -m 20 ${target}; echo "[$?]"`);

  it("gives each pod a loopback address, which its connections come from", async () => {
    const { ip } = await lab.pod("client");
    expect(ip).toMatch(/^127\./);
    const { ip: server } = await lab.pod("server");
    expect(await curl(`http://${server}:8080/`)).toContain(ip);
  });

  it("has services and names by the explicit network", async () => {
    const answers = new Set<string>();
    for (let n = 0; n < 60 && answers.size < 2; n++) answers.add(await curl("http://server/"));
    expect(answers.size).toBe(2);
    expect(await curl("http://headless.app.svc.cluster.local:8080/")).toContain("[0]");
  });

  it("refuses what nobody serves", async () => {
    expect(await curl("http://empty.app/")).toBe("[97]");
    expect(await curl("http://nobody.app/")).toBe("[97]");
  });

  it("takes containers that died up again, and probes them", async () => {
    const before = await lab.pod("server");
    await lab.exec({ node: "node1" }, "kill", "-9", String(before.pid));
    await eventually("it runs again", async () => {
      const now = (await lab.client.status()).pods.find((one) => one.uid === before.uid);
      return now?.restarts === 1 && now.ready;
    });
  });

  it("lives beside another one on other addresses", async () => {
    expect(await second.up()).toMatchObject({ ok: true });
    await second.ready();
    expect((await second.pod("client")).ip).not.toBe((await lab.pod("client")).ip);
    expect(await second.sh("client", "curl -s -m 20 http://server.app/")).toContain("server-");
  });

  it("leaves no process when its daemon is killed", async () => {
    const { holder } = JSON.parse(readFileSync(join(second.stateDir, "lab.json"), "utf8")) as {
      holder: { pid: number };
    };
    const pids = (await second.client.status()).pods.map((pod) => pod.pid);
    process.kill(holder.pid, "SIGKILL");
    await eventually("its processes are gone", () =>
      pids.every((pid) => spawnSync("kill", ["-0", String(pid)]).status !== 0),
    );
    expect(await second.up()).toMatchObject({ ok: true });
    await second.down();
    await eventually("no process is left", () => processesNaming(second.stateDir).length === 0);
  });

  it("says that there is no link to capture", async () => {
    await expect(lab.client.startCapture("node1")).rejects.toThrow(/without network namespaces/);
  });
});
