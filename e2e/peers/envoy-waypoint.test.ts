/** An Envoy in the place of our waypoint: our control plane's dialect is Envoy's, and says what it means. */

import { spawnSync } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { ENVOY_ADMIN_PORT } from "./envoy-waypoint/bootstrap.ts";
import { envoyPod, httpRoute, policy, toService, tokenRules, webService } from "./envoy-waypoint/objects.ts";

const ENVOY = process.env["AMBIT_ENVOY"] || "envoy";
const hasEnvoy = spawnSync(ENVOY, ["--version"]).status === 0;
const scenario = canRunLab && hasEnvoy ? describe : describe.skip;
const WEB = "http://web.app";
const POD = "waypoint-envoy";
const CONTROL_PLANE_STATUS = "http://127.0.0.1:15014/debug/status";

interface Seen {
  readonly pod: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface Client {
  readonly node: string;
  readonly types: Readonly<Record<string, { readonly outstanding: boolean; readonly due: number; readonly nacks: number }>>;
}

scenario("Envoy as waypoint (needs Envoy on PATH or in AMBIT_ENVOY, root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/waypoint.yaml"]);
  const applied: object[] = [];

  const apply = async (...objects: object[]): Promise<void> => {
    applied.push(...objects);
    await lab.apply(...objects);
  };
  const get = (path: string, ...headers: string[]) => lab.get("app/client", `${WEB}${path}`, ...headers);
  const seenBy = async (path: string, ...headers: string[]): Promise<Seen> => {
    const answer = await get(path, ...headers);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.error ?? answer.body}`);
    return JSON.parse(answer.body ?? "") as Seen;
  };
  const statusBecomes = (wanted: number, path: string, ...headers: string[]) =>
    eventually(
      `${path} is answered with ${wanted}`,
      async () => {
        const answer = await get(path, ...headers);
        return answer.status === wanted && answer;
      },
      30_000,
    );
  const envoyAdmin = async (path: string): Promise<string> => {
    const url = `http://127.0.0.1:${ENVOY_ADMIN_PORT}${path}`;
    return (await lab.exec({ namespace: "app", pod: POD }, ["curl", "-sS", url])).stdout;
  };
  /** What the control plane knows of Envoy. Its admin port is reached from the lab's own namespaces only. */
  const clientStatus = async (): Promise<Client | undefined> => {
    const { argv } = await lab.client.exec({ node: "node1" });
    const [enter = "", ...entering] = argv.slice(0, argv.lastIndexOf("nsenter"));
    const { stdout } = spawnSync(enter, [...entering, "curl", "-sS", CONTROL_PLANE_STATUS], { encoding: "utf8" });
    return (JSON.parse(stdout) as { clients: Client[] }).clients.find(({ node }) => node === `app/${POD}`);
  };
  /** Everything that either side says was refused; empty when all is well. */
  const refusals = async (): Promise<readonly string[]> => {
    const types = Object.entries((await clientStatus())?.types ?? {});
    const nacks = types.filter(([, { nacks }]) => nacks > 0).map(([type, { nacks }]) => `${nacks} NACKs of ${type}`);
    const stats = (await envoyAdmin("/stats?filter=update_rejected")).split("\n");
    const rejected = stats.filter((line) => line !== "" && !line.endsWith(": 0"));
    const errors = (await envoyAdmin("/config_dump")).match(/"error_state": \{[^}]*\}/g) ?? [];
    return [...nacks, ...rejected, ...errors];
  };

  beforeAll(async () => {
    const args = ["waypoint", "apply", "-n", "app", "--enroll-namespace", "--replicas", "0"];
    const env = { ...process.env, NODE_OPTIONS: "", AMBIT_LAB: lab.name };
    const made = spawnSync(programPath("ambit"), args, { encoding: "utf8", env, timeout: 60_000 });
    if (made.status !== 0) throw new Error(`${made.stdout}${made.stderr}`);
    const deployment = await eventually("the waypoint's deployment", async () => {
      const [found] = await lab.client.objects({ kind: "Deployment", namespace: "app", name: "waypoint" });
      return found;
    });
    await lab.apply(envoyPod({ name: POD, namespace: "app", binary: ENVOY, deployment }));
    await eventually("Envoy is ready", async () => (await lab.pod("app", POD)).ready, 60_000);
    await statusBecomes(200, "/ready");
  }, 120_000);

  afterEach(async () => {
    if (applied.length > 0) await lab.delete(...applied.splice(0));
    await eventually("the plain route is back", async () => {
      const answer = await get("/plain");
      return answer.status === 200 && (JSON.parse(answer.body ?? "{}") as Seen).pod === "web";
    });
    expect(await refusals()).toEqual([]);
  }, 60_000);

  it("takes every type that it asks for", async () => {
    const types = (await clientStatus())?.types ?? {};
    const known = Object.keys(types).map((type) => type.split(".").at(-1));
    expect(known.sort()).toEqual(["Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"]);
    for (const state of Object.values(types)) expect(state).toEqual({ outstanding: false, due: 0, nacks: 0 });
    expect(JSON.parse(await envoyAdmin("/listeners?format=json"))).toMatchObject({
      listener_statuses: expect.arrayContaining([expect.objectContaining({ name: "connect_terminate" })]),
    });
  });

  it("passes requests on, and says so", async () => {
    const answer = await get("/hello?a=b");
    expect(JSON.parse(answer.body ?? "")).toMatchObject({ pod: "web", method: "GET", path: "/hello?a=b" });
    expect(answer.headers).toMatchObject({ server: "istio-envoy" });
    expect(answer.headers?.["x-envoy-upstream-service-time"]).toMatch(/^\d+$/);
  });
});
