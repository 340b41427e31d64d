/** An Envoy in the place of our waypoint: our control plane's dialect is Envoy's, and says what it means. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { type ExecTarget, programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { consumerRouteTests } from "../scenarios/consumer-routes.ts";
import { ENVOY_ADMIN_PORT } from "./envoy-waypoint/bootstrap.ts";
import {
  echoObjects,
  envoyPod,
  httpRoute,
  policy,
  tokenRules,
  toService,
  trafficRule,
  webService,
} from "./envoy-waypoint/objects.ts";

const ENVOY = process.env["AMBIT_ENVOY"] || "envoy";
const hasEnvoy = spawnSync(ENVOY, ["--version"]).status === 0;
const scenario = canRunLab && hasEnvoy ? describe : describe.skip;
const WEB = "http://web.app";
const EVERYTHING = "e2e/peers/envoy-waypoint/everything.yaml";
const POD = "waypoint-envoy";
const SOURCE = ["--conditions=@ambit/source"];
const CERTIFICATE = "packages/testing/src/programs/certificate.ts";
const HBONE_CLIENT = "packages/testing/src/programs/hbone-client.ts";
const CONTROL_PLANE_STATUS = "http://127.0.0.1:15014/debug/status";

interface Seen {
  readonly pod: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

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
  const applyWaypoint = (traffic: "service" | "all"): void => {
    const args = ["waypoint", "apply", "-n", "app", "--enroll-namespace", "--replicas", "0", "--for", traffic];
    const env = { ...process.env, NODE_OPTIONS: "", AMBIT_LAB: lab.name };
    const made = spawnSync(programPath("ambit"), args, { encoding: "utf8", env, timeout: 60_000 });
    if (made.status !== 0) throw new Error(`${made.stdout}${made.stderr}`);
  };

  beforeAll(async () => {
    applyWaypoint("service");
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

  it("routes by header and path, and splits by weight", async () => {
    const canary = { backendRefs: [{ name: "cart", port: 80 }] };
    await apply(
      httpRoute([
        { matches: [{ headers: [{ name: "x-canary", value: "yes" }] }], ...canary },
        { matches: [{ path: { type: "PathPrefix", value: "/v2" } }], ...canary },
        {
          backendRefs: [
            { name: "web", port: 80, weight: 4 },
            { name: "cart", port: 80, weight: 1 },
          ],
        },
      ]),
    );
    await eventually("the canary", async () => (await seenBy("/", "x-canary: yes")).pod === "cart");
    expect((await seenBy("/v2/items")).pod).toBe("cart");
    const { ok, failed, firstError, pods } = await (await lab.load("app/client", `${WEB}/split`, 4, 100)).result;
    expect({ failed, firstError }).toEqual({ failed: 0, firstError: "" });
    const share = (pods["cart"] ?? 0) / ok;
    expect(share).toBeGreaterThan(0.1);
    expect(share).toBeLessThan(0.3);
  });

  it("rewrites, redirects, and changes headers", async () => {
    const replacePrefix = (text: string) => ({
      path: { type: "ReplacePrefixMatch", replacePrefixMatch: text },
    });
    await apply(
      httpRoute([
        {
          matches: [{ path: { type: "PathPrefix", value: "/old" } }],
          filters: [{ type: "RequestRedirect", requestRedirect: { ...replacePrefix("/new"), statusCode: 301 } }],
        },
        {
          matches: [{ path: { type: "PathPrefix", value: "/api" } }],
          filters: [
            { type: "URLRewrite", urlRewrite: replacePrefix("/internal") },
            {
              type: "RequestHeaderModifier",
              requestHeaderModifier: { set: [{ name: "x-set", value: "1" }], remove: ["x-gone"] },
            },
            { type: "ResponseHeaderModifier", responseHeaderModifier: { add: [{ name: "x-answer", value: "yes" }] } },
          ],
          backendRefs: [{ name: "web", port: 80 }],
        },
      ]),
    );
    const redirected = await statusBecomes(301, "/old/page?x=1");
    expect(redirected.headers?.["location"]).toBe("http://web.app/new/page?x=1");
    const answer = await get("/api/items", "x-gone: here");
    const seen = JSON.parse(answer.body ?? "") as Seen;
    expect(seen.path).toBe("/internal/items");
    expect(seen.headers).toMatchObject({ "x-set": "1", "x-envoy-original-path": "/api/items" });
    expect(seen.headers["x-gone"]).toBeUndefined();
    expect(answer.headers?.["x-answer"]).toBe("yes");
  });

  it("retries what fails and ends what takes too long", async () => {
    const backendRefs = [{ name: "web", port: 80 }];
    await apply(
      httpRoute([
        {
          matches: [{ path: { type: "PathPrefix", value: "/flaky" } }],
          retry: { attempts: 3, codes: [503], backoff: "10ms" },
          backendRefs,
        },
        {
          matches: [{ path: { type: "PathPrefix", value: "/slow" } }],
          timeouts: { request: "300ms" },
          backendRefs,
        },
      ]),
    );
    await statusBecomes(504, "/slow?delay=2000");
    expect((await get("/flaky/a?fail=2")).status).toBe(200);
    expect((await get("/flaky/b?fail=9")).status).toBe(503);
  });

  it("lets only what policy says pass, by method, path and identity", async () => {
    const principals = ["cluster.local/ns/app/sa/client"];
    const operation = { methods: ["GET"], paths: ["/public/*", "/plain"] };
    await apply(
      policy("web-reads", {
        targetRefs: toService("web"),
        action: "ALLOW",
        rules: [{ from: [{ source: { principals } }], to: [{ operation }] }],
      }),
      policy("web-no-secret", {
        targetRefs: toService("web"),
        action: "DENY",
        rules: [{ to: [{ operation: { paths: ["/public/secret"] } }] }],
      }),
    );
    await statusBecomes(403, "/private");
    expect((await get("/public/page")).status).toBe(200);
    // One page by all its names.
    for (const path of ["secret", "./secret", "x/../secret", "%73ecret", "secret?x=1"]) {
      expect(`${path} ${(await get(`/public/${path}`)).status}`).toBe(`${path} 403`);
    }
    expect((await lab.get("other/neighbour", `${WEB}/public/page`)).status).toBe(403);
  });

  it("asks for a token where a policy does, and believes only good ones", async () => {
    const { object, principal, token } = tokenRules();
    await apply(
      object,
      policy("needs-token", {
        targetRefs: toService("web"),
        action: "DENY",
        rules: [
          {
            from: [{ source: { notRequestPrincipals: [principal] } }],
            to: [{ operation: { paths: ["/account"] } }],
          },
        ],
      }),
    );
    await statusBecomes(403, "/account");
    const withToken = (path: string, text: string) => get(path, `authorization: Bearer ${text}`);
    expect((await withToken("/account", token())).status).toBe(200);
    expect((await withToken("/account", token({ sub: "mallory" }))).status).toBe(403);
    expect((await withToken("/plain", token({ exp: 1 }))).status).toBe(401);
    expect((await withToken("/plain", token({}, { alg: "none" }))).status).toBe(401);
    const kept = await seenBy("/account", `authorization: Bearer ${token()}`);
    expect(kept.headers["authorization"]).toBeUndefined();
  });

  it("speaks HTTP/2 to those who speak nothing else, and leaves declared TCP alone", async () => {
    await apply(
      webService("web-h2", { name: "h2", port: 80, targetPort: 8081, appProtocol: "kubernetes.io/h2c" }),
      webService("web-tcp", { name: "tcp-web", port: 80, targetPort: 8080 }),
    );
    const answerOf = (what: string, url: string) =>
      eventually(what, async () => {
        const answer = await lab.get("app/client", url);
        return answer.status === 200 && answer;
      });
    const h2 = await answerOf("h2c upstream", "http://web-h2.app/over-h2");
    expect(h2.headers?.["x-envoy-upstream-service-time"]).toBeDefined();
    const tcp = await answerOf("tcp", "http://web-tcp.app/over-tcp");
    expect(tcp.headers?.["x-envoy-upstream-service-time"]).toBeUndefined();
  });

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

  consumerRouteTests(lab, apply);

  it("loses no request while routes and policies change under load", async () => {
    const load = await lab.load("app/client", `${WEB}/steady`, 8, 100);
    for (let at = 0; at < 12; at++) {
      await apply(httpRoute([{ backendRefs: [{ name: at % 2 === 0 ? "cart" : "web", port: 80 }] }]));
      const operation = { paths: [`/never-${at}`] };
      await apply(policy("p", { targetRefs: toService("web"), action: "DENY", rules: [{ to: [{ operation }] }] }));
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    load.finish();
    const result = await load.result;
    expect(result).toMatchObject({ failed: 0, firstError: "" });
    expect(Object.keys(result.pods).sort()).toEqual(["cart", "web"]);
  });
});
