import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { beforeAll, describe, expect, it } from "@jest/globals";

const scenario = canRunLab ? describe : describe.skip;
const HBONE_CLIENT = programPath("packages/testing/src/programs/hbone-client.ts");
const CERTIFICATE = programPath("packages/testing/src/programs/certificate.ts");
const CLIENT = programPath("packages/testing/src/programs/client.ts");

interface Outcome {
  readonly handshake: boolean;
  readonly status: number;
  readonly answer: string;
  readonly error: string;
}

interface Material {
  readonly chain: string;
  readonly key: string;
  readonly roots: string;
  readonly error?: string;
}

scenario("HBONE spoken by others, well and badly (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/pairs.yaml"]);
  const ip = { server: "", near: "", client: "" };
  let mine: Material;

  const certificate = async (node: string, identity: string): Promise<Material> => {
    const command = [process.execPath, "--conditions=@ambit/source", CERTIFICATE, lab.client.stateDir, node, identity];
    return JSON.parse((await lab.exec({ node }, command)).stdout) as Material;
  };

  /** From the un-enrolled pod, whose traffic nothing captures. */
  const hbone = async (call: object, pod = "outsider"): Promise<Outcome> => {
    const result = await lab.exec({ namespace: "outside", pod }, [
      process.execPath,
      HBONE_CLIENT,
      JSON.stringify(call),
    ]);
    return JSON.parse(result.stdout) as Outcome;
  };
  const asMe = (): object => ({ cert: mine.chain, key: mine.key, ca: mine.roots });

  beforeAll(async () => {
    await lab.enrol("app");
    for (const name of ["server", "near", "client"] as const) ip[name] = (await lab.pod("app", name)).ip;
    // The outsider's own service account, which runs on node1: an identity its node may hold.
    mine = await certificate("node1", "spiffe://cluster.local/ns/outside/sa/default");
  }, 60_000);

  it("carries a connection of Node's own HTTP/2 client", async () => {
    const outcome = await hbone({
      host: ip.server,
      ...asMe(),
      authority: `${ip.server}:7001`,
      text: "hello over HBONE",
    });
    expect(outcome).toMatchObject({ handshake: true, status: 200, answer: "hello over HBONE" });
  });

  it("shows a certificate that openssl reads, with the one SPIFFE identity", async () => {
    const script = `echo | openssl s_client -connect ${ip.server}:15008 -alpn h2 2>/dev/null | openssl x509 -noout -ext subjectAltName,extendedKeyUsage`;
    const { stdout } = await lab.exec({ namespace: "outside", pod: "outsider" }, ["sh", "-c", script]);
    expect(stdout).toContain("URI:spiffe://cluster.local/ns/app/sa/server");
    expect(stdout).toContain("TLS Web Server Authentication, TLS Web Client Authentication");
  });

  it("case 1: refuses a client without a certificate", async () => {
    const outcome = await hbone({ host: ip.server, authority: `${ip.server}:7001`, text: "x" });
    expect(outcome.status).toBe(0);
  });

  it("case 10: refuses TLS 1.2", async () => {
    const outcome = await hbone({
      host: ip.server,
      ...asMe(),
      authority: `${ip.server}:7001`,
      tls: { maxVersion: "TLSv1.2", minVersion: "TLSv1.2" },
    });
    expect(outcome).toMatchObject({ handshake: false, status: 0 });
  });

  it("case 5: refuses an identity that does not belong to the calling address", async () => {
    const stolen = await certificate("node1", "spiffe://cluster.local/ns/app/sa/client");
    const call = {
      host: ip.server,
      cert: stolen.chain,
      key: stolen.key,
      ca: stolen.roots,
      authority: `${ip.server}:7001`,
    };
    expect(await hbone({ ...call, text: "x" })).toMatchObject({ handshake: true, status: 401, answer: "" });
  });

  it("case 6: refuses an authority that is another pod's", async () => {
    const outcome = await hbone({ host: ip.server, ...asMe(), authority: `${ip.near}:7001` });
    expect(outcome).toMatchObject({ handshake: true, status: 400 });
  });

  it.each([15001, 15006, 15008])("case 7: refuses an authority on the proxy's own port %i", async (port) => {
    const outcome = await hbone({ host: ip.server, ...asMe(), authority: `${ip.server}:${port}` });
    expect(outcome.status).toBe(503);
  });

  it.each(["127.0.0.1:7001", "169.254.169.254:80", "localhost:7001", "[::1]:7001"])(
    "case 8: refuses the authority %s",
    async (authority) => {
      const outcome = await hbone({ host: ip.server, ...asMe(), authority });
      expect([400, 503]).toContain(outcome.status);
    },
  );

  it("answers 400 to a method that is not CONNECT", async () => {
    const outcome = await hbone({ host: ip.server, ...asMe(), method: "GET", authority: `${ip.server}:7001` });
    expect(outcome.status).toBe(400);
  });

  it("answers 503 when the application does not listen", async () => {
    const outcome = await hbone({ host: ip.server, ...asMe(), authority: `${ip.server}:7999` });
    expect(outcome.status).toBe(503);
  });

  it("answers 401 when policy denies, and a bad traceparent harms nobody", async () => {
    const deny = {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: "no-outside", namespace: "app" },
      spec: { action: "DENY", rules: [{ from: [{ source: { namespaces: ["outside"] } }] }] },
    };
    await lab.apply(deny);
    const headers = { traceparent: `00-${"0".repeat(52)}` };
    let status = 0;
    for (let attempt = 0; attempt < 40 && status !== 401; attempt++) {
      status = (await hbone({ host: ip.server, ...asMe(), authority: `${ip.server}:7001`, headers })).status;
    }
    expect(status).toBe(401);
    await lab.delete(deny);
    await eventually("the policy is gone", async () => {
      const outcome = await hbone({ host: ip.server, ...asMe(), authority: `${ip.server}:7001`, headers });
      return outcome.status === 200;
    });
  });

  it("case 16: takes nothing from a forged forwarded or baggage header but telemetry", async () => {
    const headers = { forwarded: 'for="10.9.9.9:1";host=evil', baggage: "k8s.namespace.name=app,service.name=client" };
    const outcome = await hbone({ host: ip.server, ...asMe(), authority: `${ip.server}:7005`, headers });
    expect(JSON.parse(outcome.answer).remoteAddress).not.toContain("10.9.9.9");
  });

  it("case 14: a node cannot have the identity of a pod that runs elsewhere", async () => {
    const { error } = await certificate("node2", "spiffe://cluster.local/ns/app/sa/client");
    expect(error).toContain("node2");
  });

  it.each([
    ["another pod's capture ports", "app/client", () => ip.server],
    ["its own capture ports", "app/client", () => ip.client],
    ["an enrolled pod's capture ports from outside the mesh", "outside/outsider", () => ip.server],
  ])("case 7: a pod that dials %s gets nothing and harms nothing", async (_label, from, to) => {
    for (const port of [15001, 15006, 15008, 15080, 15000, 15020, 15021, 15053]) {
      const { answer } = await lab.run<{ answer?: string }>(from, "echo", to(), port, "GET / HTTP/1.0\r\n\r\n");
      expect(answer ?? "").not.toContain("200 OK");
    }
    expect(await lab.run("app/client", "echo", ip.server, 7001, "still here")).toMatchObject({ answer: "still here" });
  });

  it("case 46: an application with the uid of Istio's proxy is captured like any other", async () => {
    const strict = {
      apiVersion: "security.istio.io/v1",
      kind: "PeerAuthentication",
      metadata: { name: "strict", namespace: "app" },
      spec: { mtls: { mode: "STRICT" } },
    };
    await lab.apply(strict);
    const plain = async () =>
      (await lab.run<{ answer?: string }>("outside/outsider", "echo", ip.server, 7001, "hi")).answer;
    await eventually("plaintext is refused", async () => (await plain()) !== "hi");
    // It may read a checkout that is closed to others, and no more.
    const mayRead = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];
    const asProxy = ["setpriv", "--reuid=1337", "--regid=1337", "--clear-groups", ...mayRead];
    const command = [...asProxy, process.execPath, CLIENT, "echo", ip.server, "7001", "over mTLS"];
    const { stdout } = await lab.exec({ namespace: "app", pod: "client" }, command);
    await lab.delete(strict);
    expect(JSON.parse(stdout)).toMatchObject({ answer: "over mTLS" });
  });

  it("case 54: the admin port answers nobody but its own node", async () => {
    const node = (await lab.status()).nodes[1];
    const result = await lab.run<{ error?: string; answer?: string }>(
      "outside/outsider",
      "read",
      node?.ip ?? "",
      15000,
    );
    expect(result.answer ?? "").toBe("");
  });
});
