import { rename, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { Workload } from "@ambit/shared/workload";
import { eventually } from "@ambit/testing/eventually";
import { temporaryFolder } from "@ambit/testing/files";
import { afterEach, describe, expect, it } from "@jest/globals";
import {
  LOOPBACK,
  occupyPort,
  startTestZtunnel,
  type TestOptions,
  type TestZtunnel,
  testPod,
} from "./fixtures/start-ztunnel.ts";

const running: TestZtunnel[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map(({ ztunnel }) => ztunnel.stop(0)));
});

async function start(options?: TestOptions): Promise<TestZtunnel> {
  const test = await startTestZtunnel(options);
  running.push(test);
  return test;
}

const workload = (uid: string): Workload =>
  ({
    uid,
    name: uid,
    namespace: "shop",
    serviceAccount: "web",
    trustDomain: "cluster.local",
    addresses: ["10.0.0.1"],
    node: "node1",
    protocol: "HBONE",
    services: {},
    authorizationPolicies: [],
    locality: { region: "", zone: "", subzone: "" },
  }) as unknown as Workload;

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, LOOPBACK, () => resolve(socket));
    socket.on("error", reject);
  });
}

const readiness = async (test: TestZtunnel): Promise<string> => (await test.get("readiness", "/healthz/ready")).text();

describe("startZtunnel", () => {
  it("is ready once the mesh is known, a worker runs and every pod was tried; not before", async () => {
    const test = await start();
    await eventually("the worker runs", async () => !(await readiness(test)).includes("proxy,"));
    expect(await readiness(test)).toBe("not ready, pending: state manager, workload proxy manager\n");
    test.mesh.onSynced();
    await test.dataPlane;
    expect(await readiness(test)).toBe("not ready, pending: workload proxy manager\n");
    test.setPending(2);
    test.settle();
    await eventually("ready", async () => (await readiness(test)) === "ready\n");
    expect(await (await test.get("metrics", "/metrics")).text()).toContain(
      "\nworkload_manager_pending_proxy_count 2\n",
    );
  });

  it("does not take pods over before the mesh is known", async () => {
    const test = await start();
    let started = false;
    void test.dataPlane.then(() => {
      started = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(started).toBe(false);
    test.mesh.onSynced();
    await test.dataPlane;
  });

  it("shows the mesh, certificates, pods and connections in /config_dump, and no secret", async () => {
    const test = await start({ env: { AUTH_TOKEN: "hunter2" } });
    test.mesh.onAddresses({ workloads: [workload("Kubernetes//Pod/shop/web")], services: [], removed: [] });
    test.mesh.onSynced();
    const { pod, port } = testPod("uid-1");
    await (await test.dataPlane).attach(pod);
    const socket = await open(port());
    const dumpText = async () => (await test.get("admin", "/config_dump")).text();
    await eventually("the certificate is there", async () => (await dumpText()).includes("Available"));
    const text = await dumpText();
    const dump = JSON.parse(text);
    expect(Object.keys(dump)).toEqual([
      "workloads",
      "services",
      "policies",
      "stagedServices",
      "staticConfig",
      "version",
      "config",
      "certificates",
      "workloadState",
    ]);
    expect(dump.certificates).toMatchObject([
      {
        identity: "spiffe://cluster.local/ns/shop/sa/web",
        state: "Available",
        certChain: [{ serialNumber: expect.stringMatching(/^\d+$/), expirationTime: expect.stringMatching(/:\d\dZ$/) }],
        rootCerts: [{}],
      },
    ]);
    expect(Buffer.from(dump.certificates[0].certChain[0].pem, "base64").toString()).toContain("BEGIN CERTIFICATE");
    expect(dump.workloadState["uid-1"]).toEqual({
      state: "Up",
      connections: { inbound: [{ src: "a", originalDst: null, actualDst: "b", protocol: "TCP" }], outbound: [] },
      info: { name: "uid-1", namespace: "shop", serviceAccount: "web" },
    });
    expect(text).not.toMatch(/hunter2|PRIVATE KEY/);
    expect(await (await test.get("admin", "/debug/connections")).json()).toMatchObject([
      { pod: "shop/uid-1", direction: "inbound" },
    ]);
    expect(await (await test.get("admin", "/debug/refusals")).json()).toEqual([]);
    socket.destroy();
  });

  it("forgets a certificate with its last user", async () => {
    const test = await start();
    test.mesh.onSynced();
    const { pod } = testPod("uid-1");
    const dataPlane = await test.dataPlane;
    await dataPlane.attach(pod);
    const identities = async () =>
      ((await (await test.get("admin", "/config_dump")).json()) as { certificates: { identity: string }[] })
        .certificates;
    expect(await identities()).toHaveLength(1);
    await dataPlane.detach("uid-1", { graceful: false });
    expect(await identities()).toEqual([]);
  });

  it("replaces a worker on request while the pod's port stays open", async () => {
    const test = await start();
    test.mesh.onSynced();
    const { pod, port } = testPod("uid-1");
    await (await test.dataPlane).attach(pod);
    expect((await test.get("admin", "/workers/0/restart", { method: "POST" })).status).toBe(200);
    expect((await test.get("admin", "/workers/9/restart", { method: "POST" })).status).toBe(404);
    // The thread that dies may still accept a connection, and takes it along.
    await eventually("the next worker answers", async () => {
      const socket = await open(port());
      const answer = await new Promise<string>((resolve) => {
        socket.once("data", (data) => resolve(data.toString())).once("close", () => resolve("closed"));
        socket.write("hi");
      });
      socket.destroy();
      return answer.endsWith(":hi");
    });
    const metrics = async () => (await test.get("metrics", "/metrics")).text();
    await eventually("it is counted", async () => (await metrics()).includes('ambit_worker_restarts{worker="0"} 1\n'));
  });

  it("asks for the shutdown on /quitquitquit", async () => {
    const test = await start();
    const answer = await test.get("admin", "/quitquitquit", { method: "POST" });
    expect(await answer.text()).toBe("shutdown now\n");
    await eventually("asked", () => test.shutdowns.length === 1);
  });

  it("fails to start when a port is taken, and leaves nothing open", async () => {
    const taken = await occupyPort();
    await expect(startTestZtunnel({ ports: { admin: taken.port } })).rejects.toMatchObject({
      code: "PLATFORM_CALL_FAILED",
      message: expect.stringContaining(`cannot listen on 127.0.0.1:${taken.port}`),
    });
    taken.close();
  });

  it("cannot be asked for its configuration over another address than loopback", async () => {
    const test = await start({ env: { AMBIT_LISTEN_IP: "0.0.0.0" } });
    expect(test.ztunnel.addresses.admin.ip).toBe("127.0.0.1");
    expect(test.ztunnel.addresses.metrics.ip).toBe("0.0.0.0");
  });

  it("follows the file of revoked certificates and is unready while the first is bad", async () => {
    const folder = temporaryFolder("crl");
    const file = join(folder, "ca-crl.pem");
    await writeFile(file, "not a CRL");
    const test = await start({ env: { CRL_PATH: file } });
    test.mesh.onSynced();
    test.settle();
    await eventually("only the CRL is missing", async () =>
      (await readiness(test)).endsWith("pending: certificate revocation list\n"),
    );
    await writeFile(join(folder, "new"), "");
    await rename(join(folder, "new"), file);
    await eventually("ready", async () => (await readiness(test)) === "ready\n", 30_000);
  });
});

describe("drain", () => {
  async function withConnection(): Promise<{ test: TestZtunnel; socket: Socket; port: number }> {
    const test = await start();
    test.mesh.onSynced();
    const { pod, port } = testPod("uid-1");
    await (await test.dataPlane).attach(pod);
    const socket = await open(port());
    await new Promise((resolve) => {
      socket.once("data", resolve);
      socket.write("hi");
    });
    return { test, socket, port: port() };
  }

  it("refuses new connections at once, lets the open one go on and ends with it", async () => {
    const { test, socket, port } = await withConnection();
    let ended = false;
    const stopped = test.ztunnel.stop(50_000).then(() => {
      ended = true;
    });
    await eventually("new connections are refused", () =>
      open(port).then(
        (late) => late.destroy() === undefined,
        () => true,
      ),
    );
    expect(ended).toBe(false);
    const answer = await new Promise<string>((resolve) => {
      socket.once("data", (data) => resolve(data.toString()));
      socket.write("still here");
    });
    expect(answer).toMatch(/still here$/);
    socket.destroy();
    const started = performance.now();
    await stopped;
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it("cuts what is left at the deadline", async () => {
    const { test, socket } = await withConnection();
    const closed = new Promise((resolve) => socket.once("close", resolve));
    await test.ztunnel.stop(200);
    await closed;
  });

  it("ends at once with a deadline of 0 and is safe to ask for twice", async () => {
    const test = await start();
    const first = test.ztunnel.stop(0);
    expect(test.ztunnel.stop(0)).toBe(first);
    await first;
    await expect(test.get("admin", "/healthz")).rejects.toThrow();
  });
});
