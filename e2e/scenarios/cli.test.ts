import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { programPath } from "@ambit/shared/lab-client";
import { temporaryFolder } from "@ambit/testing/files";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { describe, expect, it } from "@jest/globals";

const ambit = (...args: string[]) =>
  spawnSync(programPath("ambit"), args, {
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "" },
    timeout: 60_000,
  });

describe("the ambit command", () => {
  it.each([
    "up",
    "down",
    "apply",
    "delete",
    "label",
    "get",
    "exec",
    "logs",
    "status",
    "explain",
    "waypoint",
    "demo",
    "test",
    "bench",
  ])("explains %s with --help", (verb) => {
    const result = ambit(verb, "--help");
    expect(result.status).toBe(0);
    expect(result.stdout).toContain(`Usage: ambit ${verb}`);
  });

  it("reports all unknown flags at once", () => {
    const result = ambit("up", "--fiel", "x", "--nope");
    expect(result.status).toBe(64);
    expect(result.stderr).toContain('"--fiel"');
    expect(result.stderr).toContain('"--nope"');
  });

  it("says what to do when no lab runs", () => {
    const result = ambit("status", "--name", "absent");
    expect(result.status).toBe(1);
    expect(result.stderr).toContain("ambit up --name absent");
    expect(result.stderr).toContain("LAB_NOT_RUNNING");
  });
});

(canRunLab ? describe : describe.skip)("objects through the CLI (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/pairs.yaml"]);
  const folder = temporaryFolder("cli");

  it("names file, line, field and reason of a bad object and applies the rest", () => {
    const file = join(folder, "mixed.yaml");
    writeFileSync(
      file,
      "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: good\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: bad\n  namespace: app\nspec:\n  selector: { app: server }\n  ports:\n    - port: 99999\n",
    );
    const result = ambit("apply", "-f", file, "--name", lab.name);
    expect(result.status).toBe(1);
    expect(result.stdout).toContain("good");
    expect(result.stderr).toMatch(/mixed\.yaml:14: spec\.ports\[0\]\.port: .*KUBE_OBJECT_INVALID/);
  });

  it("names the line of malformed YAML", () => {
    const file = join(folder, "broken.yaml");
    writeFileSync(file, "apiVersion: v1\nkind: [unclosed\n");
    const result = ambit("apply", "-f", file, "--name", lab.name);
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/broken\.yaml:\d+: .*KUBE_YAML_MALFORMED/);
  });

  it("shows status and objects as tables and as JSON", () => {
    expect(ambit("get", "pods", "--name", lab.name).stdout).toContain("server");
    const both = ambit("get", "ns,pods", "--name", lab.name).stdout;
    expect(both).toContain("SUMMARY");
    expect(both).toContain("RESTARTS");
    expect(JSON.parse(ambit("get", "services", "-o", "json", "--name", lab.name).stdout).items.length).toBeGreaterThan(
      1,
    );
    expect(JSON.parse(ambit("status", "-o", "json", "--name", lab.name).stdout).nodes.length).toBe(2);
    expect(ambit("status", "--name", lab.name).stdout).toContain("ztunnel/node1");
  });

  it("runs a command in a pod and passes its exit status on", () => {
    const inside = ambit(
      "exec",
      "--name",
      lab.name,
      "app/client",
      "--",
      "sh",
      "-c",
      "ip -4 -o addr show dev eth0; exit 7",
    );
    expect(inside.status).toBe(7);
    expect(inside.stdout).toContain("10.");
  });
});
