import { mkdir, mkdtemp, readFile, rename, rm, truncate, unlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import {
  createFolderSource,
  type InputProblem,
  type KubeObject,
  type ObjectKey,
  type ObjectSource,
  objectKey,
} from "../../src/kube/index.ts";
import { type Clock, systemClock } from "../../src/time/index.ts";
import { ManualClock } from "../manual-clock.ts";

let dir: string;
let source: ObjectSource;
let objects: Map<ObjectKey, KubeObject>;
let problems: readonly InputProblem[];
let removals: ObjectKey[];
let deliveries: number;

const configMap = (name: string, value = "1"): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name}, namespace: shop, uid: ${name}-uid }\ndata: { v: "${value}" }\n`;
const keyOf = (name: string): ObjectKey => `ConfigMap/shop/${name}` as ObjectKey;
const dataOf = (name: string): unknown => (objects.get(keyOf(name))?.["data"] as { v?: string } | undefined)?.v;
const path = (name: string): string => join(dir, name);

async function until(what: string, probe: () => boolean, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!probe()) {
    if (performance.now() > deadline) throw new Error(`${what}: not so within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function follow(folder = dir, clock: Clock = systemClock): { source: ObjectSource; started: Promise<void> } {
  const made = createFolderSource(folder, { clock });
  const started = made.start((change) => {
    deliveries++;
    for (const key of change.removed) objects.delete(key);
    removals.push(...change.removed);
    for (const object of change.upserted) objects.set(objectKey(object), object);
    ({ problems } = change);
  });
  return { source: made, started };
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "ambit-folder-"));
  objects = new Map();
  problems = [];
  removals = [];
  deliveries = 0;
});

afterEach(async () => {
  await source.stop();
  await rm(dir, { recursive: true, force: true });
});

async function start(clock?: Clock): Promise<void> {
  const followed = follow(dir, clock);
  ({ source } = followed);
  await followed.started;
}

/** Time goes on, and what the source does then is done: a patch has to wait for it. */
async function passes(clock: ManualClock, ms: number): Promise<void> {
  clock.advance(ms);
  await source.patch(keyOf("none"), "nobody", undefined);
}

describe("createFolderSource", () => {
  it("has delivered everything, in files of any depth, when start resolves", async () => {
    await mkdir(path("deep/er"), { recursive: true });
    await writeFile(path("a.yaml"), configMap("a"));
    await writeFile(path("deep/er/b.yml"), configMap("b"));
    await writeFile(
      path("c.json"),
      JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c", namespace: "shop" } }),
    );
    await writeFile(path("notes.txt"), configMap("d"));
    await writeFile(path(".hidden.yaml"), configMap("e"));
    await start();
    expect([...objects.keys()].sort()).toEqual(["a", "b", "c"].map(keyOf));
  });

  it("follows files that appear, change and vanish, in folders that appear later too", async () => {
    await start();
    await writeFile(path("a.yaml"), configMap("a"));
    await until("a is there", () => dataOf("a") === "1");
    await writeFile(path("a.yaml"), configMap("a", "2"));
    await until("a changed", () => dataOf("a") === "2");
    await mkdir(path("new/er"), { recursive: true });
    await writeFile(path("new/er/b.yaml"), configMap("b"));
    await until("b is there", () => dataOf("b") === "1");
    await unlink(path("a.yaml"));
    await until("a is gone", () => !objects.has(keyOf("a")));
    expect(removals).toEqual([keyOf("a")]);
  });

  it("sees a change within a second", async () => {
    const clock = new ManualClock();
    await start(clock);
    await writeFile(path("a.yaml"), configMap("a"));
    for (let ms = 0; ms < 1_000 && !objects.has(keyOf("a")); ms += 10) {
      // The scan of every 2 s always waits; what came is noticed besides.
      await until("it is noticed", () => clock.timers > 1);
      await passes(clock, 10);
    }
    expect(dataOf("a")).toBe("1");
  });

  it("loses nothing while a file is truncated, written in pieces or replaced by an editor", async () => {
    const all = ["a", "b", "c"].map((name) => configMap(name)).join("---\n");
    await writeFile(path("f.yaml"), all);
    const clock = new ManualClock();
    await start(clock);
    const writtenNow = (): Promise<void> => utimes(path("f.yaml"), clock.now() / 1_000, clock.now() / 1_000 - 0.001);
    const becomes = async (value: string): Promise<void> => {
      const isSo = (): boolean => ["a", "b", "c"].every((name) => dataOf(name) === value);
      for (let ms = 0; ms < 2_000 && !isSo(); ms += 50) await passes(clock, 50);
      expect(["a", "b", "c"].map(dataOf)).toEqual([value, value, value]);
    };
    await truncate(path("f.yaml"), 0);
    await writtenNow();
    await until("it is noticed", () => clock.timers > 1);
    await passes(clock, 60);
    const next = all.replaceAll('"1"', '"2"');
    for (let at = 0; at < next.length; at += 80) {
      await writeFile(path("f.yaml"), next.slice(at, at + 80), { flag: "a" });
      await writtenNow();
      await passes(clock, 20);
    }
    await becomes("2");
    await rename(path("f.yaml"), path("f.yaml~"));
    await until("it is noticed", () => clock.timers > 1);
    await passes(clock, 60);
    await writeFile(path("f.yaml"), all);
    await writtenNow();
    await becomes("1");
    expect(removals).toEqual([]);
  });

  it("keeps a malformed file's last objects, reports it, and goes on when it is repaired", async () => {
    await writeFile(path("a.yaml"), configMap("a"));
    await writeFile(path("b.yaml"), configMap("b"));
    await start();
    await writeFile(path("a.yaml"), "kind: [\n");
    await until("the problem is reported", () => problems.length === 1);
    expect(problems).toMatchObject([{ code: "KUBE_YAML_MALFORMED", file: "a.yaml", line: expect.any(Number) }]);
    expect([dataOf("a"), dataOf("b")]).toEqual(["1", "1"]);
    await writeFile(path("a.yaml"), configMap("a", "2"));
    await until("it is repaired", () => dataOf("a") === "2" && problems.length === 0);
  });

  it("keeps the last objects when the whole folder vanishes, and reports that", async () => {
    await writeFile(path("a.yaml"), configMap("a"));
    await start();
    await rename(dir, `${dir}-moved`);
    await until("the problem is reported", () => problems.some(({ code }) => code === "KUBE_SOURCE_UNREADABLE"));
    expect(dataOf("a")).toBe("1");
    await rename(`${dir}-moved`, dir);
    await until("it is well again", () => problems.length === 0);
    await writeFile(path("a.yaml"), configMap("a", "2"));
    await until("changes are seen again", () => dataOf("a") === "2");
    expect(removals).toEqual([]);
  });

  it("waits at start for a folder that is not there yet", async () => {
    const late = path("late");
    const followed = follow(late);
    ({ source } = followed);
    await until("the problem is reported", () => problems.length === 1);
    await mkdir(late);
    await writeFile(join(late, "a.yaml"), configMap("a"));
    await followed.started;
    expect([dataOf("a"), problems.length]).toEqual(["1", 0]);
  });
});

describe("patches of a folder", () => {
  it("reach every other reader of the folder, and go away again", async () => {
    await writeFile(path("a.yaml"), configMap("a"));
    await start();
    const writer = createFolderSource(dir, { clock: systemClock });
    await writer.start(() => {});
    await writer.patch(keyOf("a"), "kubelet", { data: { v: "patched" } });
    expect(JSON.parse(await readFile(path(".patches/ConfigMap/shop/a/kubelet.json"), "utf8"))).toEqual({
      data: { v: "patched" },
      metadata: { uid: "a-uid" },
    });
    await until("the patch is seen", () => dataOf("a") === "patched");
    await writer.patch(keyOf("a"), "kubelet", undefined);
    await until("the patch is gone", () => dataOf("a") === "1");
    await writer.stop();
  });

  it("are delivered to the writer itself at once, and written only when they change", async () => {
    await writeFile(path("a.yaml"), configMap("a"));
    await start();
    const before = deliveries;
    await source.patch(keyOf("a"), "x", { data: { v: "9" } });
    expect([dataOf("a"), deliveries]).toEqual(["9", before + 1]);
    await source.patch(keyOf("a"), "x", { data: { v: "9" } });
    expect(deliveries).toBe(before + 1);
  });

  it("survive a restart and lose their effect with the object they were made for", async () => {
    await writeFile(path("a.yaml"), configMap("a"));
    await start();
    await source.patch(keyOf("a"), "x", { data: { v: "9" } });
    await source.stop();
    objects = new Map();
    await start();
    expect(dataOf("a")).toBe("9");
    await writeFile(path("a.yaml"), configMap("a").replace("a-uid", "another-uid"));
    await until("the patch has no effect", () => dataOf("a") === "1");
  });

  it("refuse names that would leave the folder", async () => {
    await start();
    await expect(source.patch("ConfigMap/../../x" as ObjectKey, "x", {})).rejects.toMatchObject({
      code: "KUBE_OBJECT_INVALID",
    });
    await expect(source.patch(keyOf("a"), "../x", {})).rejects.toMatchObject({ code: "KUBE_OBJECT_INVALID" });
  });

  it("report a patch file that is no JSON and keep its last content", async () => {
    await writeFile(path("a.yaml"), configMap("a"));
    await start();
    await source.patch(keyOf("a"), "x", { data: { v: "9" } });
    await writeFile(path(".patches/ConfigMap/shop/a/x.json"), "{");
    await until("the problem is reported", () => problems.length === 1);
    expect([problems[0]?.file, dataOf("a")]).toEqual([".patches/ConfigMap/shop/a/x.json", "9"]);
  });
});
