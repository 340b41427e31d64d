import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { afterEach, describe, expect, it } from "@jest/globals";

const USE = "istio.io/use-waypoint";
const USE_NAMESPACE = "istio.io/use-waypoint-namespace";
const WEB = "http://web.app/";
const CART = "http://cart.app/";

interface Entry {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
}

(canRunLab ? describe : describe.skip)("the life of a waypoint (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/waypoint.yaml"]);

  const ambit = (...args: string[]) =>
    spawnSync(programPath("ambit"), args, {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "", AMBIT_LAB: lab.name },
      timeout: 120_000,
    });
  const waypoint = (...args: string[]) => ambit("waypoint", ...args);
  /** The command must have worked; its complaint is the failure otherwise. */
  const must = (result: ReturnType<typeof ambit>): string => {
    if (result.status !== 0) throw new Error(`${result.stdout}${result.stderr}`);
    return result.stdout;
  };
  const waypointPods = async (name = "waypoint", namespace = "app") =>
    (await lab.status()).pods.filter((pod) => pod.namespace === namespace && pod.name.startsWith(`${name}-`));
  const tokenEntries = (): readonly Entry[] =>
    (
      JSON.parse(readFileSync(join(lab.client.stateDir, "tokens", "join-tokens.json"), "utf8")) as {
        workloads: Entry[];
      }
    ).workloads;
  const label = (kind: string, name: string, labels: Record<string, string | null>): Promise<unknown> =>
    lab.client.label({ kind, ...(kind === "Namespace" ? {} : { namespace: "app" }), name, labels, overwrite: true });
  /** Requests each of the waypoint's pods has served, by the name of the pod. */
  const served = async (name = "waypoint", namespace = "app"): Promise<Record<string, number>> => {
    const counts = (await waypointPods(name, namespace)).map(async (pod) => {
      const { stdout } = await lab.exec({ namespace, pod: pod.name }, ["curl", "-s", "http://localhost:15020/metrics"]);
      const samples = stdout.split("\n").filter((line) => line.startsWith("istio_requests_total{"));
      return [pod.name, samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0)] as const;
    });
    return Object.fromEntries(await Promise.all(counts));
  };
  const total = async (name: string, namespace = "app"): Promise<number> =>
    Object.values(await served(name, namespace)).reduce((sum, count) => sum + count, 0);
  /** Answered, and counted by that waypoint. */
  const goesThrough = async (name: string, url: string, namespace = "app"): Promise<boolean> => {
    const before = await total(name, namespace);
    return (await lab.get("app/client", url)).status === 200 && (await total(name, namespace)) > before;
  };
  /** Answered, and counted by none of these. */
  const passes = async (names: readonly string[], url: string): Promise<boolean> => {
    const before = await Promise.all(names.map((name) => total(name)));
    if ((await lab.get("app/client", url)).status !== 200) return false;
    return (await Promise.all(names.map((name) => total(name)))).every((count, at) => count === before[at]);
  };
  const becomes = (what: string, condition: () => Promise<boolean>): Promise<true> =>
    eventually(what, condition, 60_000);

  afterEach(async () => {
    await label("Namespace", "app", { [USE]: null, [USE_NAMESPACE]: null });
    for (const name of ["web", "cart"]) await label("Service", name, { [USE]: null, [USE_NAMESPACE]: null });
    for (const namespace of ["app", "infra"]) waypoint("delete", "--all", "-n", namespace);
    await eventually(
      "no waypoint pod is left",
      async () =>
        (await Promise.all([waypointPods(), waypointPods("front"), waypointPods("shared", "infra")])).flat().length ===
        0,
      60_000,
    );
  }, 120_000);

  it("begins with one command, after which the namespace's traffic goes through it", async () => {
    const said = must(waypoint("apply", "-n", "app", "--enroll-namespace", "--wait"));
    expect(said).toContain("waypoint app/waypoint is ready");
    expect(must(waypoint("list", "-n", "app"))).toMatch(/waypoint +default +service +True +1\/1/);
    await becomes("web goes through it", () => goesThrough("waypoint", WEB));
    expect(must(ambit("explain", "service/app/web"))).toContain("waypoint app/waypoint, by the namespace's label");
  });

  it("runs as a pod that is not in the mesh itself, under its own service account's token", async () => {
    must(waypoint("apply", "-n", "app", "--wait"));
    const [pod] = await waypointPods();
    expect(pod).toMatchObject({ ready: true, enrolled: false });
    expect(tokenEntries()).toEqual([
      { sha256: expect.any(String), namespace: "app", serviceAccount: "waypoint", pod: pod?.name },
    ]);
    must(waypoint("delete", "waypoint", "-n", "app"));
    await eventually("the token is revoked", () => tokenEntries().length === 0);
    for (const kind of ["Deployment", "Service", "ServiceAccount"])
      await eventually(
        `its ${kind} is gone`,
        async () => (await lab.client.objects({ kind, namespace: "app", name: "waypoint" })).length === 0,
      );
  });

  /** Short requests at a steady rate, and long ones that are always on the way, while something happens. */
  const lossDuring = async (change: () => Promise<unknown>): Promise<Record<string, unknown>> => {
    const loads = [
      await lab.load("app/client", WEB, 90, 100),
      await lab.load("app/client", `${WEB}?delay=1500`, 90, 4),
    ];
    await change();
    const results = await Promise.all(
      loads.map((load) => {
        load.finish();
        return load.result;
      }),
    );
    for (const { ok } of results) expect(ok).toBeGreaterThan(10);
    return Object.fromEntries(results.flatMap(({ failed, firstError }) => (failed > 0 ? [[firstError, failed]] : [])));
  };

  it("loses no request while it grows to three pods and shrinks to one", async () => {
    must(waypoint("apply", "-n", "app", "--enroll-namespace", "--wait"));
    await becomes("web goes through it", () => goesThrough("waypoint", WEB));
    const lost = await lossDuring(async () => {
      must(waypoint("apply", "-n", "app", "--replicas", "3", "--wait"));
      must(waypoint("apply", "-n", "app", "--replicas", "1"));
      await eventually("one is left", async () => (await waypointPods()).length === 1, 60_000);
    });
    expect(lost).toEqual({});
  }, 240_000);

  it("loses no request while its pods are replaced", async () => {
    must(waypoint("apply", "-n", "app", "--enroll-namespace", "--replicas", "2", "--wait"));
    await becomes("web goes through it", () => goesThrough("waypoint", WEB));
    const before = new Set((await waypointPods()).map((pod) => pod.name));
    const lost = await lossDuring(async () => {
      const [gateway] = await lab.client.objects({ kind: "Gateway", namespace: "app", name: "waypoint" });
      const { annotations } = gateway?.metadata ?? {};
      const spec = { ...gateway?.spec, infrastructure: { labels: { generation: "next" } } };
      await lab.apply({
        ...gateway,
        metadata: { name: "waypoint", namespace: "app", annotations },
        spec,
        status: undefined,
      });
      await eventually(
        "two new pods",
        async () => {
          const pods = await waypointPods();
          return pods.length === 2 && pods.every((pod) => pod.ready && !before.has(pod.name));
        },
        60_000,
      );
    });
    expect(lost).toEqual({});
  }, 240_000);

  it("spreads the requests of one client over all its pods, by stream and not by connection", async () => {
    must(waypoint("apply", "-n", "app", "--enroll-namespace", "--replicas", "3", "--wait"));
    const [gateway] = await lab.client.objects({ kind: "Gateway", namespace: "app", name: "waypoint" });
    // Without it, ztunnels keep to the pods of their own zone.
    const annotations = { ...gateway?.metadata.annotations, "networking.istio.io/traffic-distribution": "Any" };
    await lab.apply({ ...gateway, metadata: { name: "waypoint", namespace: "app", annotations }, status: undefined });
    await becomes("every pod serves", async () => {
      // Many at a time: which pod serves is chance, and reading the counts takes its time.
      await Promise.all(Array.from({ length: 8 }, () => lab.get("app/client", WEB)));
      const counts = Object.values(await served());
      return counts.length === 3 && counts.every((count) => count > 0);
    });
  }, 120_000);

  it("starts again when it is killed", async () => {
    must(waypoint("apply", "-n", "app", "--enroll-namespace", "--wait"));
    const [before] = await waypointPods();
    await lab.kill("node1", before?.pid ?? 0);
    await eventually(
      "another process",
      async () => {
        const [now] = await waypointPods();
        return now?.restarts === 1 && now.ready && now.pid !== before?.pid;
      },
      60_000,
    );
    await becomes("web goes through it again", () => goesThrough("waypoint", WEB));
  });

  it("takes manifests of Istio's class", async () => {
    must(waypoint("apply", "-n", "app", "--class", "istio-waypoint", "--wait", "--enroll-namespace"));
    await becomes("web goes through it", () => goesThrough("waypoint", WEB));
  });

  it("is passed by a service that opts out, and only by that one", async () => {
    must(waypoint("apply", "-n", "app", "--enroll-namespace", "--wait"));
    await label("Service", "web", { [USE]: "none" });
    await becomes("web is answered without it", () => passes(["waypoint"], WEB));
    await becomes("cart goes through it", () => goesThrough("waypoint", CART));
  });

  it("yields to the waypoint that a service names itself", async () => {
    must(waypoint("apply", "-n", "app", "--enroll-namespace", "--wait"));
    must(waypoint("apply", "-n", "app", "--name", "front", "--wait"));
    await label("Service", "web", { [USE]: "front" });
    await becomes("web goes through front", () => goesThrough("front", WEB));
    await becomes("web passes the other", () => passes(["waypoint"], WEB));
    await becomes("cart stays", () => goesThrough("waypoint", CART));
  }, 120_000);

  it("serves another namespace when it admits it", async () => {
    await lab.apply({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "shared", namespace: "infra" },
      spec: {
        gatewayClassName: "ambit-waypoint",
        listeners: [{ name: "mesh", port: 15008, protocol: "HBONE", allowedRoutes: { namespaces: { from: "All" } } }],
      },
    });
    await eventually(
      "it is ready",
      async () => (await waypointPods("shared", "infra")).some((pod) => pod.ready),
      60_000,
    );
    await label("Namespace", "app", { [USE]: "shared", [USE_NAMESPACE]: "infra" });
    await becomes("web goes through it", () => goesThrough("shared", WEB, "infra"));
  }, 120_000);
});

(canRunLab ? describe : describe.skip)("ambit waypoint (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/waypoint.yaml"]);
  const waypoint = (...args: string[]) =>
    spawnSync(programPath("ambit"), ["waypoint", ...args], {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "", AMBIT_LAB: lab.name },
      timeout: 120_000,
    });

  it("does not wait for what cannot come", () => {
    const result = waypoint("apply", "-n", "app", "--replicas", "0", "--wait");
    expect([result.status, result.stderr]).toEqual([1, expect.stringContaining("at least 1 with --wait")]);
  });

  it("says what is missing when the wait is over", () => {
    const result = waypoint("apply", "-n", "app", "--wait", "--timeout", "0");
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/waypoint app\/waypoint is not ready after 0 s: .*0 of 1 pods are ready/);
  });

  it("warns about a namespace outside of the mesh, and refuses one that uses another waypoint", () => {
    const first = waypoint("apply", "-n", "outside", "--enroll-namespace");
    expect([first.status, first.stderr]).toEqual([0, expect.stringContaining("namespace outside is not in the mesh")]);
    const second = waypoint("apply", "-n", "outside", "--name", "front", "--enroll-namespace");
    expect([second.status, second.stderr]).toEqual([1, expect.stringContaining('already uses waypoint "waypoint"')]);
    const third = waypoint("apply", "-n", "outside", "--name", "front", "--enroll-namespace", "--overwrite");
    expect(third.status).toBe(0);
  });

  it("names what stays closed when a waypoint is deleted, and what it could not delete", () => {
    const result = waypoint("delete", "front", "absent", "-n", "outside");
    expect(result.status).toBe(1);
    expect(result.stdout).toBe("waypoint outside/front deleted\n");
    expect(result.stderr).toContain("namespace outside still names outside/front");
    expect(result.stderr).toContain("none named absent");
  });

  it("lists as JSON, of one namespace or of all", () => {
    const list = JSON.parse(waypoint("list", "-A", "-o", "json").stdout) as { namespace: string; name: string }[];
    expect(list.map(({ namespace, name }) => `${namespace}/${name}`)).toEqual(["app/waypoint", "outside/waypoint"]);
    expect(waypoint("list", "-n", "other").stdout).toBe("no waypoints found\n");
  });

  it("deletes nothing without being told what", () => {
    expect(waypoint("delete", "-n", "app").status).toBe(1);
    expect(waypoint("delete", "waypoint", "--all", "-n", "app").status).toBe(1);
    expect(waypoint("delete", "--all", "-n", "app").stdout).toBe("waypoint app/waypoint deleted\n");
  });
});
