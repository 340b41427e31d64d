import { createPublicKey, X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, it } from "@jest/globals";
import type { SpiffeUri } from "../identity/index.ts";
import {
  createCsr,
  createKeyPair,
  createRoot,
  derToPem,
  exportPrivateKeyPem,
  parseCrls,
  parsePeerCertificate,
  pemToDer,
  readCsr,
  readRoots,
  readSigner,
  type Signer,
  signCertificate,
  verifyChain,
} from "./index.ts";
import { x509 } from "./library.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web" as SpiffeUri;
const HOUR = 3_600_000;
const now = Date.now();
const window = { notBefore: now - HOUR, notAfter: now + HOUR };

let root: Signer;
let rootPem: string;

async function newSigner(): Promise<Signer> {
  const { certPem, keyPem } = await createRoot({ organization: "Test", ...window });
  return readSigner(certPem, keyPem);
}

async function newPublicKey() {
  return createPublicKey(await exportPrivateKeyPem((await createKeyPair()).privateKey));
}

const derOf = (pem: string): Buffer => pemToDer(pem, "CERTIFICATE")[0]!;

async function leafDer(uris: readonly string[], hosts: readonly string[] = []): Promise<Buffer> {
  const publicKey = await newPublicKey();
  return derOf(await signCertificate(root, { publicKey, uris, hosts, purposes: ["client"], ...window }));
}

beforeAll(async () => {
  root = await newSigner();
  rootPem = root.certificatePem;
});

describe("createCsr", () => {
  it("asks for one P-256 certificate with an empty subject and exactly the SPIFFE URI", async () => {
    const { csrPem, keyPem } = await createCsr(WEB);
    const csr = await readCsr(csrPem);
    expect(csr).toMatchObject({
      ok: true,
      value: { keyKind: "EC P-256", uris: [WEB], otherNames: [], asksForCa: false },
    });
    expect(new x509.Pkcs10CertificateRequest(csrPem).subject).toBe("");
    expect(keyPem).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    if (csr.ok) expect(createPublicKey(keyPem).equals(csr.value.publicKey)).toBe(true);
  });

  it("makes a new key for every request", async () => {
    const [first, second] = [await createCsr(WEB), await createCsr(WEB)];
    expect(first.keyPem).not.toBe(second.keyPem);
  });
});

describe("readCsr", () => {
  it("refuses a request whose signature was made with another key", async () => {
    const { csrPem } = await createCsr(WEB);
    const der = pemToDer(csrPem, "CERTIFICATE REQUEST")[0]!;
    der[der.length - 1]! ^= 1;
    const changed = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
    expect((await readCsr(changed)).ok).toBe(false);
  });

  it.each([
    ["empty text", ""],
    ["a text without PEM", "hello"],
    ["a PEM of another kind", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
    ["an empty PEM", "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"],
    ["garbage in PEM", "-----BEGIN CERTIFICATE REQUEST-----\nMIIBAA==\n-----END CERTIFICATE REQUEST-----\n"],
  ])("refuses %s without throwing", async (_, text) => {
    expect((await readCsr(text)).ok).toBe(false);
  });
});

describe("parsePeerCertificate", () => {
  it("reads identity, issuer, serial, expiry and fingerprint of a leaf", async () => {
    const der = await leafDer([WEB]);
    const byNode = new X509Certificate(der);
    const peer = parsePeerCertificate(der);
    expect(peer).toEqual({
      ok: true,
      value: {
        id: { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" },
        uri: WEB,
        issuer: "O=Test",
        serial: byNode.serialNumber.toLowerCase(),
        fingerprint: byNode.fingerprint256.replaceAll(":", "").toLowerCase(),
        notAfter: byNode.validToDate.getTime(),
      },
    });
  });

  it("ignores DNS names beside the one SPIFFE URI", async () => {
    expect(parsePeerCertificate(await leafDer([WEB], ["web.shop.svc"]))).toMatchObject({
      ok: true,
      value: { uri: WEB },
    });
  });

  it.each([
    ["no URI SAN", []],
    ["two SPIFFE URI SANs", [WEB, "spiffe://cluster.local/ns/shop/sa/admin"]],
    ["the same URI SAN twice", [WEB, WEB]],
    ["a SPIFFE and another URI SAN", [WEB, "https://example.com/"]],
    ["an embedded NUL", ["spiffe://cluster.local/ns/shop/sa/web\0.evil"]],
    ["a trailing NUL", [`${WEB}\0`]],
    ["a trailing line feed", [`${WEB}\n`]],
    ["an upper-case scheme", ["SPIFFE://cluster.local/ns/shop/sa/web"]],
    ["an upper-case trust domain", ["spiffe://Cluster.local/ns/shop/sa/web"]],
    ["an upper-case service account", ["spiffe://cluster.local/ns/shop/sa/Web"]],
    ["a trailing slash", [`${WEB}/`]],
    ["a percent escape", ["spiffe://cluster.local/ns/shop/sa/%2e"]],
    ["a dot segment", ["spiffe://cluster.local/ns/shop/sa/.."]],
    ["a query", [`${WEB}?x`]],
    ["a fragment", [`${WEB}#x`]],
    ["a port in the trust domain", ["spiffe://cluster.local:80/ns/shop/sa/web"]],
    ["user info in the trust domain", ["spiffe://a@cluster.local/ns/shop/sa/web"]],
    ["a 2 KB SAN", [`spiffe://cluster.local/ns/shop/sa/${"a".repeat(2048)}`]],
    ["a non-ASCII letter", ["spiffe://cluster.local/ns/shop/sa/wéb"]],
    ["another URI only", ["https://example.com/"]],
  ])("case 4: refuses %s", async (_, uris) => {
    expect(parsePeerCertificate(await leafDer(uris)).ok).toBe(false);
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["a short SEQUENCE", Buffer.from("3003020101", "hex")],
    ["base64 text given as bytes", Buffer.from("MIIBAA==")],
    ["a length that promises more", Buffer.from("30820fff0201", "hex")],
    ["an indefinite length", Buffer.from("308002010100000000", "hex")],
  ])("refuses %s without throwing", (_, der) => {
    expect(parsePeerCertificate(der).ok).toBe(false);
  });

  it("refuses trailing bytes after the certificate", async () => {
    expect(parsePeerCertificate(Buffer.concat([await leafDer([WEB]), Buffer.from([0])])).ok).toBe(false);
  });
});

describe("verifyChain", () => {
  async function intermediate(signer: Signer): Promise<Signer> {
    const keyPem = await exportPrivateKeyPem((await createKeyPair()).privateKey);
    const publicKey = createPublicKey(keyPem);
    return readSigner(await signCertificate(signer, { publicKey, purposes: [], ca: true, ...window }), keyPem);
  }
  const roots = () => readRoots(pemToDer(rootPem, "CERTIFICATE"));

  it("names the intermediates between a leaf and an own root, whatever their order", async () => {
    const middle = await intermediate(root);
    const der = derOf(
      await signCertificate(middle, { publicKey: await newPublicKey(), uris: [WEB], purposes: [], ...window }),
    );
    const stray = derOf((await newSigner()).certificatePem);
    const chain = verifyChain(der, [stray, derOf(middle.certificatePem)], roots(), now);
    const serial = new X509Certificate(middle.certificatePem).serialNumber.toLowerCase();
    expect(chain).toMatchObject({ ok: true, value: { intermediates: [{ issuer: "O=Test", serial }] } });
  });

  it("refuses a leaf of another CA that has the same name", async () => {
    const other = await newSigner();
    const der = derOf(
      await signCertificate(other, { publicKey: await newPublicKey(), uris: [WEB], purposes: [], ...window }),
    );
    expect(verifyChain(der, [derOf(other.certificatePem)], roots(), now).ok).toBe(false);
  });

  it("refuses an expired leaf and one that is not valid yet", async () => {
    const der = await leafDer([WEB]);
    expect(verifyChain(der, [], roots(), now + 2 * HOUR).ok).toBe(false);
    expect(verifyChain(der, [], roots(), now - 2 * HOUR).ok).toBe(false);
  });

  it("ends on intermediates that certify each other in a ring", async () => {
    const first = await newSigner();
    const keyPem = await exportPrivateKeyPem((await createKeyPair()).privateKey);
    const crossed = await signCertificate(first, {
      publicKey: createPublicKey(keyPem),
      purposes: [],
      ca: true,
      ...window,
    });
    const second = await readSigner(crossed, keyPem);
    const der = derOf(
      await signCertificate(second, { publicKey: await newPublicKey(), uris: [WEB], purposes: [], ...window }),
    );
    expect(verifyChain(der, [derOf(crossed), derOf(first.certificatePem)], roots(), now).ok).toBe(false);
  });
});

describe("parseCrls", () => {
  async function crl(serials: readonly string[], nextUpdate?: Date): Promise<string> {
    const { rawData } = await x509.X509CrlGenerator.create({
      issuer: root.certificate.subjectName,
      entries: serials.map((serialNumber) => ({ serialNumber, reason: x509.X509CrlReason.keyCompromise })),
      signingKey: root.key,
      signingAlgorithm: root.algorithm,
      ...(nextUpdate && { nextUpdate }),
    });
    return derToPem(new Uint8Array(rawData), "X509 CRL");
  }

  it("merges several PEM blocks, skipping blocks of other kinds", async () => {
    const text = `${await crl(["0a"])}${rootPem}${await crl(["00ff01"], new Date(now))}`;
    expect(parseCrls(Buffer.from(text))).toEqual({ ok: true, value: { "O=Test": ["a", "ff01"] } });
  });

  it("reads one DER", async () => {
    const [der] = pemToDer(await crl(["7f"]), "X509 CRL");
    expect(parseCrls(der!)).toEqual({ ok: true, value: { "O=Test": ["7f"] } });
  });

  it("reads tens of thousands of entries", () => {
    // By hand: the library needs minutes to make one. Only the structure counts here.
    const sequence = (content: Buffer) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(content.length);
      return Buffer.concat([Buffer.from([0x30, 0x84]), length, content]);
    };
    const date = Buffer.from("\x17\x0d261123000000Z");
    const entry = (serial: string) =>
      sequence(Buffer.concat([Buffer.from("0203", "hex"), Buffer.from(serial, "hex"), date]));
    const serials = Array.from({ length: 50_000 }, (_, index) => (0x100000 + index).toString(16));
    const name = Buffer.from("310d300b060355040a130454657374", "hex");
    const algorithm = Buffer.from("06082a8648ce3d040302", "hex");
    const body = [sequence(algorithm), sequence(name), date, sequence(Buffer.concat(serials.map(entry)))];
    const revoked = parseCrls(sequence(sequence(Buffer.concat(body))));
    expect(revoked).toEqual({ ok: true, value: { "O=Test": serials } });
  });

  it("takes an empty file as no revocations and refuses one that is no CRL", () => {
    expect(parseCrls(Buffer.alloc(0))).toEqual({ ok: true, value: {} });
    expect(parseCrls(Buffer.from("garbage")).ok).toBe(false);
    expect(parseCrls(Buffer.from(rootPem)).ok).toBe(false);
    expect(parseCrls(Buffer.from("-----BEGIN X509 CRL-----\nMIIBAA==\n-----END X509 CRL-----")).ok).toBe(false);
  });

  it("names the issuer with the same text as the certificate it revokes", async () => {
    const der = await leafDer([WEB]);
    const peer = parsePeerCertificate(der);
    if (!peer.ok) throw new Error(peer.error);
    const revoked = parseCrls(Buffer.from(await crl([peer.value.serial])));
    expect(revoked).toEqual({ ok: true, value: { [peer.value.issuer]: [peer.value.serial] } });
  });
});
