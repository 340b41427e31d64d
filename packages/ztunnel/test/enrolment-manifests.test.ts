import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@ambit/testing/eventually";
import { describe, expect, it } from "@jest/globals";
import { parseAllDocuments } from "yaml";
import { parseConfig } from "../src/config/index.ts";

const folder = join(import.meta.dirname, "../../../deploy/daemonset");
const readme = readFileSync(join(folder, "README.md"), "utf8");
const documents = readdirSync(folder)
  .filter((file) => file.endsWith(".yaml"))
  .flatMap((file) => parseAllDocuments(readFileSync(join(folder, file), "utf8"), { strict: true }))
  .map((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS() as { kind: string; metadata: { name: string; namespace?: string } } & Record<
      string,
      unknown
    >;
  });

interface Container {
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly ports: readonly { readonly containerPort: number }[];
  readonly readinessProbe: { readonly httpGet: { readonly path: string; readonly port: number } };
  readonly securityContext: {
    readonly privileged: boolean;
    readonly capabilities: { readonly add: readonly string[] };
  };
  readonly volumeMounts: readonly { readonly name: string }[];
}
interface PodTemplate {
  readonly metadata: { readonly labels: Record<string, string> };
  readonly spec: {
    readonly containers: readonly [Container];
    readonly volumes: readonly { readonly name: string }[];
    readonly hostNetwork?: boolean;
    readonly hostPID?: boolean;
  };
}
const daemonset = documents.find(({ kind }) => kind === "DaemonSet") as unknown as {
  spec: { template: PodTemplate };
};
const { metadata, spec } = daemonset.spec.template;
const [container] = spec.containers;

describe("the DaemonSet", () => {
  it("has an environment that is a valid configuration", () => {
    const env = Object.fromEntries(container.env.map(({ name, value }) => [name, value ?? "from-the-pod"]));
    expect(parseConfig({ ...env, INSTANCE_IP: "10.0.0.1" }, { cpus: 2 })).toMatchObject({
      ok: true,
      value: { shutdown: { drainDeadlineMs: 25_000 }, enrolment: { procDir: "/host/proc" } },
    });
  });

  it("asks for exactly the capabilities its README gives reasons for, and for no wider privilege", () => {
    const added = container.securityContext.capabilities.add;
    const explained = [...readme.matchAll(/^\| `CAP_(\w+)`/gm)].map(([, name]) => name);
    expect([...added].sort()).toEqual(explained.sort());
    expect([container.securityContext.privileged, spec.hostNetwork, spec.hostPID]).toEqual([
      false,
      undefined,
      undefined,
    ]);
  });

  it("keeps itself out of the mesh and shows the ports of the code", () => {
    expect(metadata.labels).toMatchObject({ app: "ztunnel", "istio.io/dataplane-mode": "none" });
    expect(container.ports.map(({ containerPort }) => containerPort)).toEqual([15020, 15021]);
    expect(container.readinessProbe.httpGet).toEqual({ path: "/healthz/ready", port: 15021 });
  });

  it("mounts every volume it declares, and names the objects that exist", () => {
    expect(container.volumeMounts.map(({ name }) => name).sort()).toEqual(spec.volumes.map(({ name }) => name).sort());
    expect(documents.map(({ kind, metadata: { name } }) => `${kind}/${name}`).sort()).toEqual([
      "ClusterRole/ambit-ztunnel",
      "ClusterRoleBinding/ambit-ztunnel",
      "DaemonSet/ztunnel",
      "ServiceAccount/ztunnel",
    ]);
  });
});

const canTry = process.getuid?.() === 0 && spawnSync("setpriv", ["--version"]).status === 0;
if (!canTry) process.stderr.write("capability tests skipped: they need root and setpriv\n");

(canTry ? describe : describe.skip)("R18: with the DaemonSet's capabilities and no other", () => {
  const needed = container.securityContext.capabilities.add;

  /** What a process of root with these capabilities cannot do. */
  async function tryWith(capabilities: readonly string[]): Promise<{ preflight: string; otherUsersNetns: string }> {
    const stranger = spawn("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "60"]);
    try {
      await once(stranger, "spawn");
      const status = `/proc/${stranger.pid}/status`;
      await eventually("it is another user", () => /^Uid:\s+65534/m.test(readFileSync(status, "utf8")));
      const set = ["-all", ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(",");
      const node = [process.execPath, "--conditions=@ambit/source"];
      const script = join(import.meta.dirname, "fixtures", "try-privileges.ts");
      const argv = [`--bounding-set=${set}`, `--inh-caps=${set}`, ...node, script, String(stranger.pid)];
      const { stdout, stderr } = spawnSync("setpriv", argv, { encoding: "utf8", env: { PATH: process.env["PATH"] } });
      if (stdout === "") throw new Error(stderr);
      return JSON.parse(stdout);
    } finally {
      stranger.kill();
    }
  }

  it("captures traffic and finds pods of any user", async () => {
    expect(await tryWith(needed)).toEqual({ preflight: "", otherUsersNetns: "" });
  });

  it.each([...needed])("cannot do without %s", async (missing) => {
    const result = await tryWith(needed.filter((name) => name !== missing));
    expect(`${result.preflight}${result.otherUsersNetns}`).toMatch(/EPERM|EACCES/);
  });
});
