import { join } from "node:path";
import { text } from "node:stream/consumers";
import { eventually } from "@ambit/testing/eventually";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { isRoot, LabFixture } from "./lab-fixture.ts";

(isRoot ? describe : describe.skip)("objects of a running lab (needs root and network namespaces)", () => {
  const lab = new LabFixture();
  beforeAll(async () => {
    await lab.up();
    await lab.ready();
  });
  afterAll(() => lab.down());

  const pod = (name: string, container: object, spec: object = {}): object => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "app" },
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "c", image: "none", ...container }], ...spec },
  });
  const servers = async () => (await lab.client.status()).pods.filter((one) => one.name.startsWith("server-"));
  const deployment = async (change: object): Promise<void> => {
    const [object] = await lab.client.objects({ kind: "Deployment", namespace: "app", name: "server" });
    await lab.apply({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "server", namespace: "app" },
      spec: { ...object?.spec, ...change },
    });
  };

  it("made nodes, namespaces and service accounts that nobody wrote down", async () => {
    const nodes = await lab.client.objects({ kind: "Node" });
    expect(nodes.map((node) => node.metadata.labels?.["topology.kubernetes.io/zone"])).toEqual(["zone1", "zone2"]);
    expect(nodes[0]?.status?.["addresses"]).toContainEqual({ type: "InternalIP", address: "172.18.0.2" });
    expect(await lab.client.objects({ kind: "ServiceAccount", namespace: "app", name: "default" })).toHaveLength(1);
  });

  it("reports pods as a kubelet does", async () => {
    const { name, ip } = await lab.pod("server");
    const [object] = await lab.client.objects({ kind: "Pod", namespace: "app", name });
    expect(object?.status).toMatchObject({
      phase: "Running",
      podIP: ip,
      conditions: expect.arrayContaining([{ type: "Ready", status: "True" }]),
      containerStatuses: [
        { name: "server", ready: true, restartCount: 0, imageID: expect.stringContaining("ignored") },
      ],
    });
  });

  it("scales a deployment up and down", async () => {
    await deployment({ replicas: 3 });
    await eventually("three", async () => (await servers()).filter((one) => one.ready).length === 3);
    await deployment({ replicas: 2 });
    await eventually("two", async () => (await servers()).length === 2);
  });

  it("replaces the pods of a changed template while the service goes on", async () => {
    const before = await servers();
    const template = (await lab.client.objects({ kind: "Deployment", namespace: "app", name: "server" }))[0]?.spec?.[
      "template"
    ];
    const changed = JSON.parse(JSON.stringify(template)) as { spec: { containers: { env: object[] }[] } };
    changed.spec.containers[0]?.env.push({ name: "CHANGED", value: "yes" });
    await deployment({ template: changed });
    let failures = 0;
    await eventually("all are new and ready", async () => {
      const answer = await lab.sh("client", "curl -s -m 20 http://server.app/ >/dev/null; echo $?");
      if (answer !== "0") failures++;
      const now = await servers();
      return now.length === 2 && now.every((one) => one.ready && !before.some((old) => old.uid === one.uid));
    });
    expect(failures).toBe(0);
    expect(await lab.sh((await lab.pod("server")).name, "echo $CHANGED $WHERE")).toMatch(/^yes node[12]$/);
  });

  it("starts a killed container again, in the same pod", async () => {
    const before = await lab.pod("server");
    await lab.exec({ node: "node1" }, "kill", "-9", String(before.pid));
    await eventually("it runs again", async () => {
      const now = (await lab.client.status()).pods.find((one) => one.uid === before.uid);
      return now?.ready === true && now.restarts === 1 && now.pid !== before.pid;
    });
  });

  it("takes an unready pod out of its service, and back", async () => {
    const { name } = await lab.pod("server");
    await lab.sh(name, `touch /tmp/ambit-lab-test-sick-${name}`);
    try {
      await eventually("it is not ready", async () => !(await lab.pod(name)).ready);
      // The node's rules follow a moment after the status.
      await eventually("others answer", async () => {
        const line = "for n in 1 2 3 4 5 6 7 8 9 10; do curl -s -m 20 http://server.app/; done";
        const answers = (await lab.sh("client", line)).split("\n").map((answer) => answer.split(" ")[0]);
        return answers.length === 10 && !answers.includes(name);
      });
    } finally {
      await lab.sh(name, `rm -f /tmp/ambit-lab-test-sick-${name}`);
    }
    await eventually("it is ready again", async () => (await lab.pod(name)).ready);
  });

  it("restarts a container that its liveness probe finds dead", async () => {
    const livenessProbe = {
      exec: { command: ["test", "-e", "/tmp/ambit-lab-test-alive"] },
      periodSeconds: 1,
      failureThreshold: 1,
    };
    await lab.apply(pod("mortal", { command: ["sleep", "infinity"], livenessProbe }));
    await eventually("it was restarted", async () => (await lab.pod("mortal")).restarts > 0);
    await lab.client.delete({ kind: "Pod", namespace: "app", name: "mortal" });
  });

  it.each([
    ["true", "Succeeded"],
    ["false", "Failed"],
  ])("lets a pod that is not restarted end: %s is %s", async (command, phase) => {
    await lab.apply(pod(`once-${command}`, { command: [command] }, { restartPolicy: "Never" }));
    await eventually(phase, async () => (await lab.pod(`once-${command}`)).phase === phase);
  });

  it("runs init containers first, and several containers side by side", async () => {
    const containers = ["a", "b"].map((name) => ({
      name,
      image: "none",
      command: ["sh", "-c", `echo ${name} runs; sleep infinity`],
    }));
    const mark = join(lab.folder, "init");
    const initContainers = [{ name: "first", image: "none", command: ["sh", "-c", `echo 1 >${mark}`] }];
    await lab.apply(pod("several", {}, { containers, initContainers }));
    await eventually("it is ready", async () => (await lab.pod("several")).ready);
    await eventually("both run", async () =>
      /^1\n[2-9]/.test(await lab.sh("several", `cat ${mark}; ps ax | grep -c '[s]leep infinity'`)),
    );
    expect(await text(await lab.client.logs("app/several/b", {}))).toBe("b runs\n");
  });

  it("says why a pod without a command cannot run", async () => {
    await lab.apply(pod("image-only", {}));
    await eventually("the reason is there", async () => {
      const [object] = await lab.client.objects({ kind: "Pod", namespace: "app", name: "image-only" });
      return JSON.stringify(object?.status ?? {}).includes("commands, not images");
    });
    await lab.client.delete({ kind: "Pod", namespace: "app", name: "image-only" });
  });

  it("gives a terminating pod its time and kills it after that, with everything it started", async () => {
    const script = "trap 'echo asked >&2' TERM; setsid sleep 7654321 & echo armed; while :; do sleep 0.1; done";
    await lab.apply(pod("stubborn", { command: ["sh", "-c", script] }, { terminationGracePeriodSeconds: 1 }));
    await eventually("it runs", async () => (await lab.pod("stubborn")).ready);
    await eventually("it is armed", async () =>
      (await text(await lab.client.logs("app/stubborn", {}))).includes("armed"),
    );
    const started = performance.now();
    await lab.client.delete({ kind: "Pod", namespace: "app", name: "stubborn" });
    await eventually(
      "it is gone",
      async () => !(await lab.client.status()).pods.some((one) => one.name === "stubborn"),
    );
    expect(performance.now() - started).toBeGreaterThan(900);
    const left = async () =>
      (await lab.exec({ node: "node1" }, "sh", "-c", "ps ax | grep -c '[s]leep 7654321'")).stdout.trim();
    await eventually("so is what it started", async () => (await left()) === "0");
  });

  it("follows a log as it grows", async () => {
    await lab.apply(
      pod("talker", {
        command: ["sh", "-c", "for n in 1 2 3 4 5 6; do echo line $n; sleep 0.2; done; sleep infinity"],
      }),
    );
    await eventually("it runs", async () => (await lab.pod("talker")).ready);
    const stream = await lab.client.logs("app/talker", { follow: true });
    let seen = "";
    stream.on("data", (part) => {
      seen += String(part);
    });
    stream.on("error", () => {});
    await eventually("the last line", () => seen.includes("line 6"));
    stream.destroy();
    expect(seen).toBe("line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n");
    expect(await text(await lab.client.logs("app/talker", { tail: 2 }))).toBe("line 5\nline 6\n");
    await expect(lab.client.logs("app/nobody", {})).rejects.toThrow(/app\/nobody/);
  });

  it("adds a node at run time, and takes it away with its pods made anew elsewhere", async () => {
    await lab.apply({ apiVersion: "v1", kind: "Node", metadata: { name: "a-node-with-a-rather-long-name" } });
    await lab.apply(pod("there", { command: ["sleep", "infinity"] }, { nodeName: "a-node-with-a-rather-long-name" }));
    await eventually("the pod runs there", async () => (await lab.pod("there")).ready);
    const { ip } = await lab.pod("there");
    expect(ip).toMatch(/^10\.3\.0\./);
    await eventually("it reaches others", async () =>
      (await lab.sh("there", "curl -s -m 20 http://server.app/")).includes(ip),
    );
    await deployment({ replicas: 4 });
    await eventually("a server is there", async () =>
      (await servers()).some((one) => one.node.startsWith("a-node") && one.ready),
    );
    await lab.client.delete({ kind: "Node", name: "a-node-with-a-rather-long-name" });
    await eventually("all servers are elsewhere", async () => {
      const now = await servers();
      return now.length === 4 && now.every((one) => one.ready && !one.node.startsWith("a-node"));
    });
    await eventually("two nodes are left", async () => (await lab.client.status()).nodes.length === 2);
    await deployment({ replicas: 2 });
  });

  it("deletes a namespace with everything in it", async () => {
    await lab.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "brief" } });
    await lab.apply({
      ...(pod("p", { command: ["sleep", "infinity"] }) as { metadata: object }),
      metadata: { name: "p", namespace: "brief" },
    });
    await eventually("it runs", async () =>
      (await lab.client.status()).pods.some((one) => one.namespace === "brief" && one.ready),
    );
    await lab.client.delete({ kind: "Namespace", name: "brief" });
    await eventually("nothing is left", async () =>
      (await lab.client.objects({ namespace: "brief" })).every((one) => one.metadata.namespace === undefined),
    );
    await eventually("nor is it", async () => {
      expect(await lab.client.objects({ kind: "Namespace", name: "brief" })).toEqual([]);
      return true;
    });
  });

  it("answers what it does not understand with a reason", async () => {
    await expect(lab.client.delete({ kind: "Service", namespace: "app", name: "none" })).rejects.toThrow(/app\/none/);
    await expect(lab.client.startCapture("nowhere")).rejects.toThrow(/nowhere/);
    await expect(lab.client.stopCapture("nothing")).rejects.toThrow(/nothing/);
    await expect(lab.client.exec({ namespace: "app", pod: "nobody" })).rejects.toThrow(/app\/nobody/);
  });
});
