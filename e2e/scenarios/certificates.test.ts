import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { appendFileSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@ambit/testing/eventually";
import { temporaryFolder } from "@ambit/testing/files";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { beforeAll, describe, expect, it } from "@jest/globals";

const scenario = canRunLab ? describe : describe.skip;
const openssl = (...args: string[]): string => execFileSync("openssl", args, { encoding: "utf8", stdio: "pipe" });

interface Stream {
  readonly echoes: number;
  readonly ended: string;
  readonly heldMs: number;
}

interface Dump {
  readonly certificates: readonly {
    readonly identity: string;
    readonly state: string;
    readonly certChain: readonly { readonly pem: string }[];
    readonly rootCerts: readonly { readonly pem: string }[];
  }[];
}

const parsed = (entry: { readonly pem: string } | undefined): X509Certificate =>
  new X509Certificate(Buffer.from(entry?.pem ?? "", "base64"));

scenario("certificates taken back (needs root and network namespaces)", () => {
  const folder = temporaryFolder("crl");
  const lab = useLab(["e2e/manifests/pairs.yaml"], ["LOG_FORMAT=json", `CRL_PATH=${join(folder, "crl.pem")}`]);
  let server = "";

  beforeAll(async () => {
    await lab.enrol("app");
    server = (await lab.pod("app", "server")).ip;
    await eventually("traffic flows", () => works("client"));
  }, 120_000);

  const works = async (from: string): Promise<boolean> =>
    (await lab.run<{ answer?: string }>(`app/${from}`, "echo", server, 7001, "hi")).answer === "hi";

  /** As an operator does, with openssl and the CA's key. */
  function publishRevocationOf(serial: string): void {
    const ca = join(lab.client.stateDir, "control-plane");
    const config = join(folder, "ca.cnf");
    const index = join(folder, "index.txt");
    writeFileSync(
      config,
      `[ca]\ndefault_ca = d\n[d]\ndatabase = ${index}\ndefault_md = sha256\ndefault_crl_days = 1\n`,
    );
    writeFileSync(index, `R\t491231235959Z\t200101000000Z\t${serial}\tunknown\t/CN=revoked\n`);
    const files = ["-keyfile", join(ca, "ca-key.pem"), "-cert", join(ca, "ca-cert.pem")];
    openssl("ca", "-gencrl", "-config", config, ...files, "-out", join(folder, "crl.new"));
    renameSync(join(folder, "crl.new"), join(folder, "crl.pem"));
  }

  it("case 11: a revoked certificate loses its live connection and gets no new one, others go on", async () => {
    const live = await lab.start<Stream>("app/client", "stream", server, 7001, 60);
    const other = await lab.start<Stream>("app/near", "stream", server, 7001, 12);
    const { certificates } = await lab.admin<Dump>("node1", "/config_dump");
    const mine = certificates.find(({ identity }) => identity.endsWith("/ns/app/sa/client"));
    publishRevocationOf(parsed(mine?.certChain[0]).serialNumber);
    const cut = await live.result;
    expect(cut.ended).not.toBe("time is up");
    expect(cut.echoes).toBeGreaterThan(0);
    expect(await works("client")).toBe(false);
    const metrics = () => lab.client.proxy("node2", 15020, "/metrics");
    await eventually("it is counted", async () => /crl\w*rejections\w*\{[^}]*\} [1-9]/.test(await metrics()));
    expect(await works("near")).toBe(true);
    expect((await other.result).ended).toBe("time is up");
  }, 180_000);
});

scenario("a root that changes (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/pairs.yaml"], ["LOG_FORMAT=json", "SECRET_TTL=12s"]);
  const traffic = { ok: 0, failed: 0, running: true };
  let server = "";

  beforeAll(async () => {
    await lab.enrol("app");
    server = (await lab.pod("app", "server")).ip;
    await eventually(
      "traffic flows",
      async () => (await lab.run<{ answer?: string }>("app/client", "echo", server, 7001, "hi")).answer === "hi",
    );
  }, 60_000);

  async function keepDialling(): Promise<void> {
    while (traffic.running) {
      const { ok, failed } = await lab.run<{ ok: number; failed: number }>("app/client", "churn", server, 7001, 2, 50);
      traffic.ok += ok;
      traffic.failed += failed;
    }
  }

  /** Waits until every certificate in use on both nodes is as it should be. */
  function everywhere(
    what: string,
    holds: (leaf: X509Certificate, roots: X509Certificate[]) => boolean,
  ): Promise<true> {
    return eventually(
      what,
      async () => {
        const dumps = await Promise.all(["node1", "node2"].map((node) => lab.admin<Dump>(node, "/config_dump")));
        const entries = dumps.flatMap(({ certificates }) => certificates);
        expect(entries.map(({ state }) => state)).toEqual(entries.map(() => "Available"));
        return entries.every(({ certChain, rootCerts }) => holds(parsed(certChain[0]), rootCerts.map(parsed))) && true;
      },
      60_000,
    ) as Promise<true>;
  }

  it("case 57: the root is rotated under traffic, with two roots trusted meanwhile, and no connection fails", async () => {
    const ca = (name: string): string => join(lab.client.stateDir, "control-plane", name);
    const long = await lab.start<Stream>("app/client", "stream", server, 7001, 30);
    const dialling = keepDialling();
    const first = new X509Certificate(readFileSync(ca("ca-cert.pem")));

    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", ca("next-ca-key.pem"));
    const extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];
    const request = ["-x509", "-new", "-key", ca("next-ca-key.pem"), "-days", "30", "-subj", "/O=cluster.local"];
    openssl("req", ...request, ...extensions.flatMap((each) => ["-addext", each]), "-out", ca("next-ca-cert.pem"));
    const next = new X509Certificate(readFileSync(ca("next-ca-cert.pem")));
    await everywhere(
      "both roots trusted, the first signs",
      (leaf, roots) => roots.length === 2 && leaf.verify(first.publicKey),
    );

    appendFileSync(ca("previous-root.pem"), readFileSync(ca("ca-cert.pem")));
    renameSync(ca("next-ca-key.pem"), ca("ca-key.pem"));
    renameSync(ca("next-ca-cert.pem"), ca("ca-cert.pem"));
    await everywhere(
      "both roots trusted, the next signs",
      (leaf, roots) => roots.length === 2 && leaf.verify(next.publicKey),
    );

    rmSync(ca("previous-root.pem"));
    await everywhere("only the next is trusted", (leaf, roots) => roots.length === 1 && leaf.verify(next.publicKey));
    traffic.running = false;
    await dialling;
    process.stderr.write(`connections during the rotation: ${JSON.stringify(traffic)}\n`);
    expect(traffic.failed).toBe(0);
    expect(traffic.ok).toBeGreaterThan(100);
    expect((await long.result).ended).toBe("time is up");
  }, 180_000);
});
