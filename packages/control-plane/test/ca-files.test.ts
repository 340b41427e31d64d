import { createPublicKey } from "node:crypto";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readIssued } from "@ambit/shared/ca";
import { ErrorCode, type MeshError } from "@ambit/shared/errors";
import { systemClock } from "@ambit/shared/time";
import {
  createCsr,
  createKeyPair,
  createRoot,
  exportPrivateKeyPem,
  readSigner,
  signCertificate,
} from "@ambit/shared/x509";
import { describe, expect, it } from "@jest/globals";
import { AuthorityFile } from "../src/ca/index.ts";
import { failureOf, HOUR, useCaRig, WEB } from "./ca-rig.ts";

const rig = useCaRig();

describe("the CA's files", () => {
  it("keeps its root over restarts, readable by its owner only", async () => {
    const first = await rig.open();
    const again = await rig.open();
    expect(again.signerPem()).toBe(first.signerPem());
    expect((await stat(join(rig.dir, AuthorityFile.KEY))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(rig.dir, AuthorityFile.ROOT), "utf8")).toBe(first.rootsPem());
  });

  it("refuses to start with a certificate without key, a foreign key, or an expired root", async () => {
    await rig.open();
    const keyPath = join(rig.dir, AuthorityFile.KEY);
    const key = await readFile(keyPath);
    await rm(keyPath);
    expect(await failureOf(rig.open())).toMatchObject({
      code: ErrorCode.CONFIG_INVALID,
      message: expect.stringContaining("missing"),
    });
    await writeFile(keyPath, await exportPrivateKeyPem((await createKeyPair()).privateKey));
    expect((await failureOf(rig.open())).message).toContain("does not belong");
    await writeFile(keyPath, key);
    const later = { ...systemClock, now: () => Date.now() + 11 * 365 * 24 * HOUR };
    expect((await failureOf(rig.open({ clock: later }))).message).toContain("expired");
  });

  it("signs with a given intermediate, sending it but not its root", async () => {
    const window = { notBefore: Date.now() - HOUR, notAfter: Date.now() + 24 * HOUR };
    const root = await createRoot({ organization: "Corp", ...window });
    const keyPem = await exportPrivateKeyPem((await createKeyPair()).privateKey);
    const publicKey = createPublicKey(keyPem);
    const certPem = await signCertificate(await readSigner(root.certPem, root.keyPem), {
      publicKey,
      purposes: [],
      ca: true,
      ...window,
    });
    await writeFile(join(rig.dir, AuthorityFile.CERT), certPem);
    await writeFile(join(rig.dir, AuthorityFile.KEY), keyPem);
    await writeFile(join(rig.dir, AuthorityFile.CHAIN), certPem + root.certPem);
    await writeFile(join(rig.dir, AuthorityFile.ROOT), root.certPem);
    const { access } = await rig.serve();
    const { csrPem, keyPem: leafKey } = await createCsr(WEB);
    const chain = await rig.issuerOf(access).sign(WEB, csrPem, 48 * 3_600);
    expect(chain.slice(1)).toEqual([certPem, root.certPem]);
    const { material } = readIssued(WEB, leafKey, chain, Date.now());
    // Never beyond the CA's own end, less the second that encoding drops.
    expect(material.notAfter).toBeLessThanOrEqual(window.notAfter);
    expect(await readFile(join(rig.dir, AuthorityFile.ROOT), "utf8")).toBe(root.certPem);
  });

  it("refuses an intermediate that does not chain to the given root", async () => {
    const window = { notBefore: Date.now() - HOUR, notAfter: Date.now() + HOUR };
    const [root, other] = [
      await createRoot({ organization: "Corp", ...window }),
      await createRoot({ organization: "Corp", ...window }),
    ];
    const keyPem = await exportPrivateKeyPem((await createKeyPair()).privateKey);
    const signer = await readSigner(root.certPem, root.keyPem);
    const wishes = { publicKey: createPublicKey(keyPem), purposes: [], ca: true, ...window };
    await writeFile(join(rig.dir, AuthorityFile.CERT), await signCertificate(signer, wishes));
    await writeFile(join(rig.dir, AuthorityFile.KEY), keyPem);
    await writeFile(join(rig.dir, AuthorityFile.ROOT), other.certPem);
    expect((await failureOf(rig.open())).message).toContain("does not chain up");
  });

  it("keeps signing with the last good files when new ones are unusable", async () => {
    const failures: MeshError[] = [];
    const authority = await rig.open({ onReloadFailed: (error) => failures.push(error) });
    const before = authority.signerPem();
    await writeFile(join(rig.dir, AuthorityFile.CERT), "garbage");
    await authority.reload();
    expect(authority.signerPem()).toBe(before);
    expect(failures).toHaveLength(1);
  });
});
