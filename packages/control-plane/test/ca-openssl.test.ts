import { execFile, execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createCsr } from "@ambit/shared/x509";
import { describe, expect, it } from "@jest/globals";
import { AuthorityFile } from "../src/ca/index.ts";
import { useCaRig, WEB } from "./ca-rig.ts";

const rig = useCaRig();

const hasOpenssl = (() => {
  try {
    execFileSync("openssl", ["version"]);
    return true;
  } catch {
    return false;
  }
})();

(hasOpenssl ? describe : describe.skip)("openssl (skipped where it is not installed)", () => {
  it("reads our leaf, and verifies it against our root for both purposes", async () => {
    const { access } = await rig.serve();
    const { csrPem } = await createCsr(WEB);
    const [leaf, roots] = await rig.issuerOf(access).sign(WEB, csrPem, 600);
    const [leafPath, rootsPath] = [join(rig.dir, "leaf.pem"), join(rig.dir, "roots.pem")];
    await writeFile(leafPath, leaf!);
    await writeFile(rootsPath, roots!);
    const text = execFileSync("openssl", ["x509", "-in", leafPath, "-noout", "-text"], { encoding: "utf8" });
    expect(text).toContain(`URI:${WEB}`);
    expect(text).toContain("X509v3 Subject Alternative Name: critical");
    expect(text).toContain("TLS Web Server Authentication, TLS Web Client Authentication");
    expect(text).toContain("CA:FALSE");
    expect(text).toContain("Digital Signature, Key Encipherment");
    for (const purpose of ["sslserver", "sslclient"]) {
      const args = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", rootsPath, leafPath];
      expect(execFileSync("openssl", args, { encoding: "utf8" })).toContain("OK");
    }
    const csrPath = join(rig.dir, "csr.pem");
    await writeFile(csrPath, csrPem);
    const csr = execFileSync("openssl", ["req", "-in", csrPath, "-noout", "-verify", "-text"], {
      encoding: "utf8",
      stdio: ["pipe", "pipe", "ignore"],
    });
    expect(csr).toContain(`URI:${WEB}`);
  });

  it("signs with an intermediate made by openssl, RSA and with UTF-8 names, keeping the issuer's bytes", async () => {
    const run = (...args: string[]) => execFileSync("openssl", args, { cwd: rig.dir, stdio: "pipe" });
    run(
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      "r.key",
      "-out",
      "root-cert.pem",
      "-subj",
      "/O=Corp/CN=Würzel",
      "-utf8",
      "-addext",
      "keyUsage=critical,keyCertSign",
      "-days",
      "2",
    );
    run(
      "req",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      "ca-key.pem",
      "-out",
      "i.csr",
      "-subj",
      "/O=Corp/CN=Mesh CA",
    );
    await writeFile(
      join(rig.dir, "ext"),
      "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n",
    );
    run(
      "x509",
      "-req",
      "-in",
      "i.csr",
      "-CA",
      "root-cert.pem",
      "-CAkey",
      "r.key",
      "-CAcreateserial",
      "-out",
      "ca-cert.pem",
      "-days",
      "1",
      "-extfile",
      "ext",
    );
    await writeFile(join(rig.dir, AuthorityFile.CHAIN), await readFile(join(rig.dir, AuthorityFile.CERT)));
    const { access } = await rig.serve();
    const { csrPem } = await createCsr(WEB);
    const chain = await rig.issuerOf(access).sign(WEB, csrPem, 600);
    await writeFile(join(rig.dir, "leaf.pem"), chain[0]!);
    const args = ["verify", "-x509_strict", "-CAfile", "root-cert.pem", "-untrusted", "ca-cert.pem", "leaf.pem"];
    expect(String(run(...args))).toContain("OK");
    const nameOf = (which: string, file: string) =>
      String(run("x509", "-in", file, "-noout", `-${which}`, "-nameopt", "dump_all,dump_der,oid"));
    expect(nameOf("issuer", "leaf.pem").replace("issuer=", "")).toBe(
      nameOf("subject", "ca-cert.pem").replace("subject=", ""),
    );
  });

  it("sees TLS 1.3 and the configured names on port 15012's server", async () => {
    const { access } = await rig.serve();
    const target = `127.0.0.1:${access.endpoint.port}`;
    const args = ["s_client", "-connect", target, "-CAfile", access.rootCa, "-verify_return_error", "-alpn", "h2"];
    const shown = await client([...args, "-verify_ip", "10.1.2.3"]);
    expect(shown.output).toContain("Verify return code: 0 (ok)");
    expect(shown.output).toMatch(/TLSv1\.3/);
    expect((await client([...args, "-verify_ip", "10.9.9.9"])).exitCode).not.toBe(0);
    expect((await client([...args, "-tls1_2"])).exitCode).not.toBe(0);
  });

  /** Not synchronously: the server it talks to is in this process. */
  function client(args: readonly string[]): Promise<{ output: string; exitCode: number }> {
    return new Promise((resolve) => {
      const child = execFile("openssl", args, { timeout: 30_000 }, (error, stdout) =>
        resolve({ output: stdout, exitCode: error === null ? 0 : 1 }),
      );
      child.stdin?.end();
    });
  }
});
