/**
 * Hardening case 42: a service that names a waypoint cannot be reached around it. Every way is tried on real connections,
 * and every refusal must say why.
 */
import { spawnSync } from "node:child_process";
import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";

const USE = "istio.io/use-waypoint";
const WEB = "http://web.app/";
const REQUIRED = "app/ambit-waypoint-required-web";

interface Refusal {
  readonly direction: string;
  readonly reason: string;
  readonly policy?: string;
  readonly message: string;
  readonly at: string;
}

(canRunLab ? describe : describe.skip)("no way around a waypoint (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/waypoint.yaml"]);
  let podUrl = "";
  let serviceUrl = "";
  let startedAt = "";

  const waypoint = (...args: string[]): void => {
    const { status, stdout, stderr } = spawnSync(programPath("ambit"), ["waypoint", ...args], {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "", AMBIT_LAB: lab.name },
      timeout: 120_000,
    });
    if (status !== 0) throw new Error(stdout + stderr);
  };
  const apply = (...args: string[]): void => waypoint("apply", "-n", "app", ...args);
  const answers = async (from: string, url: string): Promise<boolean> => (await lab.get(from, url)).status === 200;
  /** Refused now, and by every try of the next moments: not merely while something was being set up. */
  const staysRefused = async (from: string, url: string): Promise<void> => {
    await eventually(`${from} -> ${url} is refused`, async () => !(await answers(from, url)));
    for (let round = 0; round < 3; round++) expect(await answers(from, url)).toBe(false);
  };
  /** Records reach the control thread in batches, so a refusal may be told a moment after it happened. */
  const toldOn = (node: string, wanted: (refusal: Refusal) => boolean): Promise<Refusal> =>
    eventually(`${node} tells of the refusal`, async () => {
      const refusals = await lab.admin<Refusal[]>(node, "/debug/refusals");
      return refusals.find((refusal) => refusal.at >= startedAt && wanted(refusal));
    });
  const requiredByPolicy = (refusal: Refusal): boolean =>
    refusal.direction === "inbound" && refusal.reason === "POLICY_DENIED" && refusal.policy === REQUIRED;
  const namesWaypoint = (refusal: Refusal): boolean =>
    refusal.direction === "outbound" &&
    refusal.reason === "WAYPOINT_UNAVAILABLE" &&
    refusal.message.includes("waypoint app/waypoint");

  beforeAll(async () => {
    podUrl = `http://${(await lab.pod("app", "web")).ip}:8080/`;
    const [service] = await lab.client.objects({ kind: "Service", namespace: "app", name: "web" });
    serviceUrl = `http://${String(service?.spec?.["clusterIP"])}/`;
  });

  beforeEach(async () => {
    apply("--enroll-namespace", "--wait");
    await eventually("web is answered", () => answers("app/client", WEB));
    startedAt = new Date().toISOString();
  }, 120_000);

  afterEach(async () => {
    for (const { metadata } of await lab.client.objects({ kind: "HTTPRoute", namespace: "app" }))
      await lab.client.delete({ kind: "HTTPRoute", namespace: "app", name: metadata.name });
    const cart = { kind: "Service", namespace: "app", name: "cart" };
    await lab.client.label({ ...cart, labels: { [USE]: null }, overwrite: true });
  });

  it("case 42: the service itself is answered, from its own and from another namespace", async () => {
    expect(await answers("app/client", WEB)).toBe(true);
    await eventually("the neighbour's node knows the way", () => answers("other/neighbour", WEB));
  });

  it.each(["app/client", "other/neighbour"])("case 42: by the pod's own address, from %s", async (from) => {
    await staysRefused(from, podUrl);
    expect(await toldOn("node2", requiredByPolicy)).toBeDefined();
  });

  it("case 42: by a client that is not in the mesh, whatever address it uses", async () => {
    for (const url of [WEB, serviceUrl, podUrl]) await staysRefused("outside/outsider", url);
    expect(await toldOn("node2", requiredByPolicy)).toBeDefined();
  });

  it("case 42: when the waypoint has no pods", async () => {
    apply("--replicas", "0", "--enroll-namespace");
    for (const from of ["app/client", "other/neighbour"]) await staysRefused(from, WEB);
    await staysRefused("app/client", podUrl);
    await toldOn("node1", namesWaypoint);
  }, 180_000);

  it("case 42: when the waypoint is deleted, until it is back", async () => {
    waypoint("delete", "waypoint", "-n", "app");
    for (const from of ["app/client", "other/neighbour"]) await staysRefused(from, WEB);
    await staysRefused("app/client", podUrl);
    await staysRefused("outside/outsider", podUrl);
    await toldOn("node1", namesWaypoint);
    apply("--wait");
    await eventually("web is answered again", () => answers("app/client", WEB));
  }, 180_000);

  it("case 42: by the waypoint of another service", async () => {
    apply("--name", "front", "--wait");
    const cart = { kind: "Service", namespace: "app", name: "cart" };
    await lab.client.label({ ...cart, labels: { [USE]: "front" }, overwrite: true });
    await eventually("cart is answered through front", () => answers("app/client", "http://cart.app/"));
    await lab.apply({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "HTTPRoute",
      metadata: { name: "detour", namespace: "app" },
      spec: {
        parentRefs: [{ group: "", kind: "Service", name: "cart" }],
        rules: [{ backendRefs: [{ name: "web", port: 80 }] }],
      },
    });
    await staysRefused("app/client", "http://cart.app/");
    await toldOn("node2", requiredByPolicy);
  }, 180_000);
});
