import { spawnSync } from "node:child_process";
import { programPath } from "@ambit/shared/lab-client";
import { canRunLab } from "@ambit/testing/lab";
import { describe, expect, it } from "@jest/globals";

interface Report {
  readonly checks: readonly { readonly name: string; readonly held: boolean; readonly evidence: readonly string[] }[];
}

function demo(env: NodeJS.ProcessEnv): { status: number | null; report: Report } {
  const result = spawnSync(programPath("ambit"), ["demo", "--json", "--name", `demo-test-${process.pid}`], {
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "", ...env },
    timeout: 240_000,
  });
  if (!result.stdout.startsWith("{")) throw new Error(result.stderr.slice(-2000));
  return { status: result.status, report: JSON.parse(result.stdout) as Report };
}

describe("ambit demo", () => {
  (canRunLab ? it : it.skip)(
    "holds every claim with namespaces (needs root)",
    () => {
      const { status, report } = demo({});
      expect(report.checks.filter((check) => !check.held)).toEqual([]);
      expect(report.checks.length).toBe(18);
      expect(status).toBe(0);
    },
    250_000,
  );

  it("holds its claims without namespaces, on loopback", () => {
    const { status, report } = demo({ AMBIT_LAB_MODE: "loopback" });
    expect(report.checks.filter((check) => !check.held)).toEqual([]);
    expect(report.checks.length).toBe(15);
    expect(status).toBe(0);
  }, 250_000);
});
