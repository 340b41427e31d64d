import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, describe, expect, it } from "@jest/globals";
import { isAlive, type ProcessMark } from "../src/network/process-tree.ts";
import { isRoot, LabFixture, type LabOptions, processesNaming } from "./lab-fixture.ts";

const open: LabFixture[] = [];
function labOf(options: LabOptions = {}): LabFixture {
  const lab = new LabFixture(options);
  open.push(lab);
  return lab;
}
afterEach(async () => {
  for (const lab of open.splice(0)) await lab.down();
});

const holderOf = (lab: LabFixture): ProcessMark =>
  (JSON.parse(readFileSync(join(lab.stateDir, "lab.json"), "utf8")) as { holder: ProcessMark }).holder;

/** The daemon's number as the host sees it. */
function daemonOf(lab: LabFixture): number {
  const line = processesNaming(`daemon ${lab.stateDir}/`).find(
    (one) => !one.includes("unshare ") && !one.includes("lab-init"),
  );
  return Number(line?.trim().split(" ")[0]);
}

(isRoot ? describe : describe.skip)("the life of a lab (needs root and network namespaces)", () => {
  it("is up, and down without a trace", async () => {
    const lab = labOf();
    expect(await lab.up()).toMatchObject({ ok: true });
    await lab.ready();
    const holder = holderOf(lab);
    expect(await lab.down()).toEqual({ ok: true });
    expect(isAlive(holder)).toBe(false);
    expect(existsSync(lab.stateDir)).toBe(false);
    await eventually("no process is left", () => processesNaming(lab.stateDir).length === 0);
  });

  it("makes nothing that the host can see", async () => {
    const before = readdirSync("/sys/class/net");
    const lab = labOf();
    await lab.up();
    expect(readdirSync("/sys/class/net")).toEqual(before);
    expect(readFileSync("/proc/mounts", "utf8")).not.toContain(lab.stateDir);
  });

  it("refuses a second lab of the same name, and lets one of another name live beside it", async () => {
    const one = labOf();
    const two = labOf();
    expect(await one.up()).toMatchObject({ ok: true });
    expect(await one.up()).toMatchObject({ ok: false, code: "LAB_ALREADY_RUNNING" });
    expect(await two.up()).toMatchObject({ ok: true });
    await Promise.all([one.ready(), two.ready()]);
    for (const lab of [one, two])
      expect(await lab.sh("client", "curl -s -m 20 http://server.app/")).toContain("server-");
    await one.down();
    expect(await two.sh("client", "curl -s -m 20 http://server.app/")).toContain("server-");
  });

  it("takes everything along when the daemon is killed, and comes up again", async () => {
    const lab = labOf();
    await lab.up();
    await lab.ready();
    const holder = holderOf(lab);
    process.kill(daemonOf(lab), "SIGKILL");
    await eventually("the namespaces are gone", () => !isAlive(holder) && processesNaming(lab.stateDir).length === 0);
    expect(await lab.up()).toMatchObject({ ok: true });
    await lab.ready();
  });

  it("takes everything along when its outermost process is killed", async () => {
    const lab = labOf();
    await lab.up();
    await lab.ready();
    process.kill(holderOf(lab).pid, "SIGKILL");
    await eventually("the namespaces are gone", () => processesNaming(lab.stateDir).length === 0);
    expect(await lab.down()).toEqual({ ok: true });
  });

  it("starts with the good objects of files with mistakes, and names the mistakes", async () => {
    const lab = labOf({ objects: [] });
    const file = join(lab.folder, "mixed.yaml");
    writeFileSync(
      file,
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: good}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 0}]}\n",
    );
    const other = labOf({ objects: [file] });
    expect(await other.up()).toMatchObject({ ok: true });
    expect((await other.client.status()).problems).toMatchObject([{ file, line: 8, field: "spec.ports[0].port" }]);
    expect(await other.client.objects({ kind: "Namespace", name: "good" })).toHaveLength(1);
  });

  it.each([
    [["--objects", "/nowhere"], /nowhere/],
    [["--bogus"], /--bogus/],
  ])("does not start with %j", async (args, message) => {
    const answer = await labOf({ args }).up();
    expect(answer).toMatchObject({ ok: false, code: "CONFIG_INVALID" });
    expect(answer.message).toMatch(message);
  });

  it("says so when a mode is asked for that there is not", async () => {
    const answer = await labOf({ mode: "magic" as never }).up();
    expect(answer.message).toMatch(/netns, userns or loopback/);
  });
});

describe("stopping", () => {
  it("is fine when nothing runs", async () => {
    expect(await labOf().down()).toEqual({ ok: true });
  });
});
