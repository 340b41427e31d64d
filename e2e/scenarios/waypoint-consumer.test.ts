/** Consumer routes at our waypoint. */
import { spawnSync } from "node:child_process";
import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { afterEach, beforeAll, describe } from "@jest/globals";
import { consumerRouteTests } from "./consumer-routes.ts";

(canRunLab ? describe : describe.skip)("consumer routes (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/waypoint.yaml"]);
  const applied: object[] = [];

  beforeAll(async () => {
    const args = ["waypoint", "apply", "-n", "app", "--enroll-namespace", "--wait"];
    const env = { ...process.env, NODE_OPTIONS: "", AMBIT_LAB: lab.name };
    const made = spawnSync(programPath("ambit"), args, { encoding: "utf8", env, timeout: 120_000 });
    if (made.status !== 0) throw new Error(`${made.stdout}${made.stderr}`);
    await eventually(
      "it serves",
      async () => (await lab.get("app/client", "http://web.app/ready")).status === 200,
      30_000,
    );
  }, 150_000);

  afterEach(async () => {
    if (applied.length > 0) await lab.delete(...applied.splice(0));
    await eventually("the plain route is back", async () => {
      const { status, body } = await lab.get("other/neighbour", "http://web.app/plain");
      return status === 200 && body?.includes('"pod":"web"');
    });
  }, 60_000);

  consumerRouteTests(lab, async (...objects) => {
    applied.push(...objects);
    await lab.apply(...objects);
  });
});
