/** An Envoy in the place of our waypoint: our control plane's dialect is Envoy's, and says what it means. */

import { spawnSync } from "node:child_process";
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { type ExecTarget, programPath } from "@ambit/shared/lab-client";
import { createKeyPair, createRoot, exportPrivateKeyPem, readSigner, signCertificate } from "@ambit/shared/x509";
import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { consumerRouteTests } from "../layer7/consumer-routes.ts";
import { httpScenarios } from "../layer7/http-scenarios.ts";
import { httpRoute } from "../layer7/objects.ts";
import { layer7World, MANIFEST } from "../layer7/world.ts";
import { ENVOY_ADMIN_PORT } from "./envoy-waypoint/bootstrap.ts";
import { echoObjects, envoyPod, trafficRule } from "./envoy-waypoint/objects.ts";

const ENVOY = process.env["AMBIT_ENVOY"] || "envoy";
const hasEnvoy = spawnSync(ENVOY, ["--version"]).status === 0;
const scenario = canRunLab && hasEnvoy ? describe : describe.skip;
const EVERYTHING = "e2e/peers/envoy-waypoint/everything.yaml";
const POD = "waypoint-envoy";
const SOURCE = ["--conditions=@ambit/source"];
const CERTIFICATE = "packages/testing/src/programs/certificate.ts";
const HBONE_CLIENT = "packages/testing/src/programs/hbone-client.ts";
const CONTROL_PLANE_STATUS = "http://127.0.0.1:15014/debug/status";

/** What the programs that ask for a certificate and open a tunnel print. */
interface Tunnelled {
  readonly chain?: string;
  readonly key?: string;
  readonly status?: number;
  readonly answer?: string;
}

interface Client {
  readonly node: string;
  readonly types: Readonly<
    Record<string, { readonly outstanding: boolean; readonly due: number; readonly nacks: number }>
  >;
}

scenario("Envoy as waypoint (needs Envoy on PATH or in AMBIT_ENVOY, root and network namespaces)", () => {
  const lab = useLab([MANIFEST]);
  const world = layer7World(lab);
  const { apply, get, seenBy } = world;
  const envoyAdmin = async (path: string): Promise<string> => {
    const url = `http://127.0.0.1:${ENVOY_ADMIN_PORT}${path}`;
    return (await lab.exec({ namespace: "app", pod: POD }, ["curl", "-sS", url])).stdout;
  };
  /** What the control plane knows of Envoy. Its admin port is reached from the lab's own namespaces only. */
  const clientStatus = async (): Promise<Client | undefined> => {
    const { argv } = await lab.client.exec({ node: "node1" });
    const [enter = "", ...entering] = argv.slice(0, argv.lastIndexOf("nsenter"));
    const { stdout } = spawnSync(enter, [...entering, "curl", "-sS", CONTROL_PLANE_STATUS], { encoding: "utf8" });
    if (stdout === "") return undefined;
    return (JSON.parse(stdout) as { clients: Client[] }).clients.find(({ node }) => node === `app/${POD}`);
  };
  /** Everything was sent and taken, and is in use: an Envoy waits with what it cannot use yet. */
  const isSettled = () =>
    eventually("everything is taken", async () => {
      const types = Object.values((await clientStatus())?.types ?? {});
      const isTaken = types.length > 0 && types.every(({ outstanding, due }) => !outstanding && due === 0);
      return isTaken && !/"dynamic_warming_clusters"|"warming_state"/.test(await envoyAdmin("/config_dump"));
    });
  /** Everything that either side says was refused; empty when all is well. */
  const refusals = async (): Promise<readonly string[]> => {
    const types = Object.entries((await clientStatus())?.types ?? {});
    const nacks = types.filter(([, { nacks }]) => nacks > 0).map(([type, { nacks }]) => `${nacks} NACKs of ${type}`);
    const stats = (await envoyAdmin("/stats?filter=update_rejected")).split("\n");
    const rejected = stats.filter((line) => line !== "" && !line.endsWith(": 0"));
    const errors = (await envoyAdmin("/config_dump")).match(/"error_state": \{[^}]*\}/g) ?? [];
    return [...nacks, ...rejected, ...errors];
  };

  /** A Gateway without pods of its own: Envoy's pod carries its label. */
  const applyWaypoint = (traffic: "service" | "all"): void => world.applyWaypoint("--replicas", "0", "--for", traffic);

  beforeAll(async () => {
    applyWaypoint("service");
    const deployment = await eventually("the waypoint's deployment", async () => {
      const [found] = await lab.client.objects({ kind: "Deployment", namespace: "app", name: "waypoint" });
      return found;
    });
    await lab.apply(envoyPod({ name: POD, namespace: "app", binary: ENVOY, deployment }));
    await eventually("Envoy is ready", async () => (await lab.pod("app", POD)).ready, 60_000);
    await world.statusBecomes(200, "/ready");
  }, 120_000);

  afterEach(async () => {
    await world.cleanUp();
    expect(await refusals()).toEqual([]);
  }, 60_000);

  it("takes every type that it asks for", async () => {
    const types = (await clientStatus())?.types ?? {};
    const known = Object.keys(types).map((type) => type.split(".").at(-1));
    expect(known.sort()).toEqual(["Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"]);
    for (const state of Object.values(types)) expect(state).toMatchObject({ outstanding: false, due: 0, nacks: 0 });
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

  httpScenarios(world);

  it("reaches workloads that are asked for by their own address", async () => {
    applyWaypoint("all");
    const { ip } = await lab.pod("app", "web");
    const direct = () => lab.get("app/client", `http://${ip}:8080/direct`);
    await eventually("Envoy answers", async () => (await direct()).headers?.["server"] === "istio-envoy");
    expect(JSON.parse((await direct()).body ?? "")).toMatchObject({ pod: "web", path: "/direct" });
    const url = `http://${ip}:8081/direct`;
    const h2 = await lab.exec({ namespace: "app", pod: "client" }, ["curl", "-sSi", "--http2-prior-knowledge", url]);
    applyWaypoint("service");
    for (const part of ["HTTP/2 200", "server: istio-envoy", '"pod":"web"']) expect(h2.stdout).toContain(part);
  });

  it("ends the tunnels of who shows a certificate of the mesh, and of nobody else", async () => {
    const { ip } = await lab.pod("app", POD);
    // TCP: the end of an HTTP/1 client's bytes is the end of the client to servers.
    await apply(...echoObjects());
    await eventually("the echo", async () => (await lab.pod("app", "echo")).ready);
    const [service] = await lab.client.objects({ kind: "Service", namespace: "app", name: "echo" });
    const { clusterIP } = (service?.spec ?? {}) as { clusterIP?: string };
    const run = async (target: ExecTarget, program: string, ...args: readonly string[]): Promise<Tunnelled> =>
      JSON.parse((await lab.exec(target, [process.execPath, ...SOURCE, programPath(program), ...args])).stdout);
    const identity = "spiffe://cluster.local/ns/app/sa/client";
    const { chain, key } = await run({ node: "node1" }, CERTIFICATE, lab.client.stateDir, "node1", identity);
    const text = "through the tunnel";
    const tunnel = (call: object): Promise<Tunnelled> => {
      const whole = { host: ip, authority: `${clusterIP}:80`, text, ...call };
      return run({ namespace: "outside", pod: "outsider" }, HBONE_CLIENT, JSON.stringify(whole));
    };
    await eventually("it is served", async () => (await tunnel({ cert: chain, key })).answer === text);
    expect((await tunnel({})).status).not.toBe(200);
    expect((await tunnel({ cert: chain, key, authority: "10.96.0.99:80" })).answer ?? "").toBe("");
  });

  it("serves on without the control plane, and takes what changed when it is back", async () => {
    await isSettled();
    await lab.kill("node1", (await lab.status()).controlPlane?.pid ?? 0);
    expect((await seenBy("/alone")).pod).toBe("web");
    await eventually("Envoy is connected again", async () => (await clientStatus()) !== undefined, 60_000);
    await isSettled();
    await apply(httpRoute([{ backendRefs: [{ name: "cart", port: 80 }] }]));
    await eventually("the change", async () => (await seenBy("/back")).pod === "cart");
  }, 120_000);

  it("takes changes of clusters, and what comes after them", async () => {
    for (const maxConnections of [9, 8]) {
      await apply(trafficRule({ connectionPool: { tcp: { maxConnections } } }));
      await eventually(`at most ${maxConnections} connections`, async () =>
        (await envoyAdmin("/config_dump")).includes(`"max_connections": ${maxConnections}`),
      );
      await isSettled();
    }
    await apply(httpRoute([{ backendRefs: [{ name: "cart", port: 80 }] }]));
    await eventually("a route after it", async () => (await seenBy("/after")).pod === "cart");
  });

  it("takes everything that the control plane can say", async () => {
    const file = { name: "everything.yaml", text: readFileSync(programPath(EVERYTHING), "utf8") };
    const { problems } = await lab.client.apply([file]);
    expect(problems).toEqual([]);
    await eventually("a cluster of it", async () => (await envoyAdmin("/clusters")).includes("fixed.example.com"));
    await isSettled();
    expect(await refusals()).toEqual([]);
    expect(JSON.parse((await get("/settled")).body ?? "")).toMatchObject({ pod: "web" });
    await lab.client.delete({ files: [file] });
    await eventually("it is gone", async () => !(await envoyAdmin("/clusters")).includes("fixed.example.com"));
    await isSettled();
  });

  it("takes a client's certificate for servers outside the mesh as a secret, and uses it", async () => {
    const times = { notBefore: 0, notAfter: 4_000_000_000_000 };
    const root = await createRoot({ organization: "app", ...times });
    const keyPem = await exportPrivateKeyPem((await createKeyPair()).privateKey);
    const chainPem = await signCertificate(await readSigner(root.certPem, root.keyPem), {
      publicKey: createPublicKey(keyPem),
      uris: [],
      hosts: ["app.example.com"],
      purposes: ["client"],
      ...times,
    });
    const named = (apiVersion: string, kind: string, more: object) => ({
      apiVersion,
      kind,
      metadata: { name: "bank", namespace: "app" },
      ...more,
    });
    await apply(
      named("v1", "Secret", { stringData: { "tls.crt": chainPem, "tls.key": keyPem, "ca.crt": root.certPem } }),
      named("networking.istio.io/v1", "ServiceEntry", {
        spec: {
          hosts: ["bank.example.com"],
          addresses: ["240.7.7.7"],
          resolution: "STATIC",
          ports: [{ number: 80, name: "http", protocol: "HTTP", targetPort: 443 }],
          endpoints: [{ address: "192.0.2.7" }],
        },
      }),
      named("networking.istio.io/v1", "DestinationRule", {
        spec: { host: "bank.example.com", trafficPolicy: { tls: { mode: "MUTUAL", credentialName: "bank" } } },
      }),
    );
    await eventually("the secret is in use", async () =>
      (await envoyAdmin("/config_dump?resource=dynamic_active_secrets")).includes("kubernetes://bank"),
    );
    await isSettled();
    expect(Object.keys((await clientStatus())?.types ?? {}).filter((type) => type.endsWith(".Secret"))).toHaveLength(1);
    expect(await refusals()).toEqual([]);
  });

  consumerRouteTests(world);
});
