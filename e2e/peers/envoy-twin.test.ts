/** The same requests to our waypoint and to an Envoy, both told the same by our control plane. */

import { spawnSync } from "node:child_process";
import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { EXCHANGES, type Exchange, VIRTUAL_EXCHANGES } from "./envoy-waypoint/exchanges.ts";
import { envoyPod } from "./envoy-waypoint/objects.ts";
import { outcomeOf, statusOf } from "./envoy-waypoint/outcome.ts";
import { TWINS, twinObjects, VIRTUAL_TWINS } from "./envoy-waypoint/twins.ts";

const ENVOY = process.env["AMBIT_ENVOY"] || "envoy";
const hasEnvoy = spawnSync(ENVOY, ["--version"]).status === 0;
const scenario = canRunLab && hasEnvoy ? describe : describe.skip;
const EXCHANGE = programPath("e2e/peers/envoy-waypoint/exchange.ts");

type Side = keyof typeof TWINS;

/** By the way the services are told of: an HTTPRoute, or a VirtualService. */
interface Answers {
  readonly routed: readonly string[];
  readonly virtual: readonly string[];
}

const CASES = [
  ...EXCHANGES.map((exchange, at) => ({ ...exchange, kind: "routed" as const, at })),
  ...VIRTUAL_EXCHANGES.map((exchange, at) => ({ ...exchange, kind: "virtual" as const, at })),
];

scenario("our waypoint and Envoy (needs Envoy on PATH or in AMBIT_ENVOY, root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/waypoint.yaml"]);
  const answers: Record<Side, Answers> = { ours: { routed: [], virtual: [] }, envoy: { routed: [], virtual: [] } };

  const waypoint = (...args: string[]): void => {
    const env = { ...process.env, NODE_OPTIONS: "", AMBIT_LAB: lab.name };
    const made = spawnSync(programPath("ambit"), ["waypoint", ...args], { encoding: "utf8", env, timeout: 60_000 });
    if (made.status !== 0) throw new Error(`${made.stdout}${made.stderr}`);
  };
  /** `@` in a target is whoever answers, so that each has counters of its own at the application. */
  const ask = async (side: Side, name: string, exchanges: readonly Exchange[]): Promise<readonly string[]> => {
    const [service] = await lab.client.objects({ kind: "Service", namespace: "app", name });
    const { clusterIP = "" } = (service?.spec ?? {}) as { clusterIP?: string };
    const requests = exchanges.map(({ request }) => Buffer.from(request.replace("-@", `-of-${side}`), "latin1"));
    const command = [process.execPath, EXCHANGE, clusterIP, "80", ...requests.map((bytes) => bytes.toString("base64"))];
    const { stdout, stderr } = await lab.exec({ namespace: "app", pod: "client" }, command, 120_000);
    if (stdout === "") throw new Error(stderr.slice(-800));
    return (JSON.parse(stdout) as { text: string }[]).map(({ text }) => text.replace(`-of-${side}`, "-@"));
  };
  /** One after the other at the application. */
  const askAll = async (side: Side): Promise<Answers> => ({
    routed: await ask(side, TWINS[side], EXCHANGES),
    virtual: await ask(side, VIRTUAL_TWINS[side], VIRTUAL_EXCHANGES),
  });
  const isServed = (service: string, statuses: Readonly<Record<string, number>>): Promise<true> =>
    eventually(
      `${service} is routed and guarded`,
      async () => {
        for (const [path, status] of Object.entries(statuses)) {
          if ((await lab.get("app/client", `http://${service}.app/${path}`)).status !== status) return false;
        }
        return true;
      },
      60_000,
    );

  beforeAll(async () => {
    waypoint("apply", "-n", "app", "--replicas", "0");
    waypoint("apply", "-n", "app", "--name", "ours", "--wait");
    const [deployment] = await lab.client.objects({ kind: "Deployment", namespace: "app", name: "waypoint" });
    if (!deployment) throw new Error("no deployment of the waypoint");
    await lab.apply(
      envoyPod({ name: "waypoint-envoy", namespace: "app", binary: ENVOY, deployment }),
      ...twinObjects(),
    );
    for (const service of Object.values(TWINS)) await isServed(service, { redirect: 301, ok: 200, "ok/secret": 403 });
    for (const service of Object.values(VIRTUAL_TWINS)) await isServed(service, { answer: 202, nothing: 403 });
    answers.ours = await askAll("ours");
    answers.envoy = await askAll("envoy");
  }, 170_000);

  it.each(CASES)("$kind: $name", ({ kind, at, refusedWith, ours = [], envoy = [] }) => {
    const [mine = "", theirs = ""] = [answers.ours[kind][at], answers.envoy[kind][at]];
    if (refusedWith !== undefined) {
      expect(statusOf(mine)).toBe(refusedWith);
      expect(statusOf(theirs)).not.toBe(refusedWith);
      return;
    }
    const outcomes = { ours: outcomeOf(mine), envoy: outcomeOf(theirs) };
    expect(outcomes.ours).not.toContain("status 0");
    expect({
      ours: outcomes.ours.filter((line) => !outcomes.envoy.includes(line)),
      envoy: outcomes.envoy.filter((line) => !outcomes.ours.includes(line)),
    }).toEqual({ ours: [...ours].sort(), envoy: [...envoy].sort() });
  });
});
