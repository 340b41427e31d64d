import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  CERTIFICATE_SERVICE,
  type ControlPlaneAccess,
  certificateRequest,
  createGrpcIssuer,
  createSecretManager,
  readIssued,
} from "@ambit/shared/ca";
import { ErrorCode } from "@ambit/shared/errors";
import type { SpiffeUri } from "@ambit/shared/identity";
import { systemClock } from "@ambit/shared/time";
import { createCsr, createRoot, derToPem, parsePeerCertificate, pemToDer } from "@ambit/shared/x509";
import { Client, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { describe, expect, it } from "@jest/globals";
import { CART, failureOf, HOUR, useCaRig, WEB, writeTokens } from "./ca-rig.ts";
import { derSequence, derTagged, signedCsr } from "./hostile-csr.ts";

const rig = useCaRig();

describe("the certificate authority behind its gRPC service", () => {
  it("signs the identity of a pod on the caller's node: leaf first, roots last, usable on both ends", async () => {
    const { access, authority, answers } = await rig.serve();
    const { csrPem, keyPem } = await createCsr(WEB);
    const chain = await rig.issuerOf(access).sign(WEB, csrPem, 3_600);
    expect(chain).toHaveLength(2);
    expect(chain.at(-1)).toBe(authority.rootsPem());
    const { material } = readIssued(WEB, keyPem, chain, Date.now());
    const leaf = new X509Certificate(chain[0]!);
    expect(leaf.ca).toBe(false);
    expect(leaf.subject ?? "").toBe("");
    expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
    expect(material.notAfter - Date.now()).toBeGreaterThan(HOUR - 10_000);
    expect(material.notAfter - Date.now()).toBeLessThanOrEqual(HOUR);
    expect(Date.now() - leaf.validFromDate.getTime()).toBeGreaterThanOrEqual(119_000);
    expect(answers).toEqual([{ node: "node1", identity: WEB, status: status.OK, reason: "" }]);
  });

  it("case 12: signs for a pod's own token that pod's identity and no other, while the pod is there", async () => {
    const { access, answers, pods } = await rig.serve();
    const issuer = rig.issuerOf({ ...access, authToken: "secret-wp" });
    const own = "spiffe://cluster.local/ns/shop/sa/wp" as SpiffeUri;
    const { csrPem } = await createCsr(own);
    expect(await issuer.sign(own, csrPem, 3_600)).toHaveLength(2);
    await failureOf(issuer.sign(WEB, (await createCsr(WEB)).csrPem, 3_600));
    pods.delete("shop/wp-1/wp");
    await failureOf(issuer.sign(own, csrPem, 3_600));
    expect(answers.map((each) => [each.node, status[each.status]])).toEqual([
      ["shop/wp-1", "OK"],
      ["shop/wp-1", "PERMISSION_DENIED"],
      ["shop/wp-1", "PERMISSION_DENIED"],
    ]);
  });

  it("keeps a secret manager supplied over the wire", async () => {
    const { access } = await rig.serve();
    const kinds: string[] = [];
    const available = new Promise<void>((resolve) => {
      const manager = createSecretManager({
        issuer: rig.issuerOf(access),
        clock: systemClock,
        random: Math.random,
        ttlSeconds: 60,
        onState(_, state) {
          kinds.push(state.kind);
          if (state.kind === "available") resolve();
        },
      });
      manager.want(WEB, "demand");
      rig.atEnd(() => manager.stop());
    });
    await available;
    expect(kinds).toEqual(["initializing", "available"]);
  });

  it("case 14: refuses a node the identity of a pod that is not on it, and grants it once the pod is", async () => {
    const { access, answers, pods } = await rig.serve();
    const { csrPem } = await createCsr(CART);
    const issuer = rig.issuerOf(access);
    expect(await failureOf(issuer.sign(CART, csrPem, 60))).toEqual({
      code: ErrorCode.CA_REQUEST_REFUSED,
      message: expect.stringContaining(
        "PERMISSION_DENIED: no running pod of service account shop/cart is on node node1",
      ),
    });
    expect(answers).toMatchObject([{ node: "node1", identity: CART, status: status.PERMISSION_DENIED }]);
    pods.add("node1/shop/cart");
    expect(await issuer.sign(CART, csrPem, 60)).toHaveLength(2);
  });

  it.each([
    ["no token", undefined, "expected one authorization header"],
    ["an unknown token", "wrong", "the join token is not known"],
    ["an empty bearer", " ", "empty"],
  ])("case 13: refuses %s", async (_, token, reason) => {
    const { access, answers } = await rig.serve();
    const { authToken: __, ...anonymous } = access;
    const { csrPem } = await createCsr(WEB);
    const issuer = rig.issuerOf(token === undefined ? anonymous : { ...access, authToken: token });
    const failure = await failureOf(issuer.sign(WEB, csrPem, 60));
    expect(failure.message).toContain(reason);
    expect(answers.every((answer) => answer.status === status.UNAUTHENTICATED && answer.node === undefined)).toBe(true);
  });

  it("case 13: stops taking a token that was removed from the file, and takes a new one", async () => {
    const { access, tokensPath } = await rig.serve();
    const { csrPem } = await createCsr(WEB);
    expect(await rig.issuerOf(access).sign(WEB, csrPem, 60)).toHaveLength(2);
    await writeTokens(tokensPath, { node1: "secret-9" });
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect((await failureOf(rig.issuerOf(access).sign(WEB, csrPem, 60))).message).toContain("UNAUTHENTICATED");
    expect(await rig.issuerOf({ ...access, authToken: "secret-9" }).sign(WEB, csrPem, 60)).toHaveLength(2);
  });

  it("keeps the last good tokens when the file turns bad", async () => {
    const { access, tokensPath } = await rig.serve();
    const { csrPem } = await createCsr(WEB);
    await rig.issuerOf(access).sign(WEB, csrPem, 60);
    await writeFile(tokensPath, "{");
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await rig.issuerOf(access).sign(WEB, csrPem, 60)).toHaveLength(2);
  });

  it("reads the token file anew for every call", async () => {
    const { access } = await rig.serve();
    const tokenPath = join(rig.dir, "node-token");
    await writeFile(tokenPath, "wrong\n");
    const issuer = rig.issuerOf({ ...access, authToken: tokenPath });
    const { csrPem } = await createCsr(WEB);
    expect((await failureOf(issuer.sign(WEB, csrPem, 60))).code).toBe(ErrorCode.CA_REQUEST_REFUSED);
    await writeFile(tokenPath, "secret-1\n");
    expect(await issuer.sign(WEB, csrPem, 60)).toHaveLength(2);
  });

  it("refuses a request that names no identity, and one whose identity is no text", async () => {
    const { access, authority } = await rig.serve();
    const { csrPem } = await createCsr(WEB);
    for (const metadata of [undefined, {}, { ImpersonatedIdentity: 5 }, { ImpersonatedIdentity: { nested: WEB } }]) {
      const { metadata: _, ...request } = certificateRequest(WEB, csrPem, 60);
      const failure = await rawCall(access, authority.rootsPem(), { ...request, ...(metadata && { metadata }) });
      expect(failure).toMatchObject({
        code: status.INVALID_ARGUMENT,
        details: expect.stringContaining("ImpersonatedIdentity"),
      });
    }
  });

  it("fails as unreachable, within its deadline, when nobody answers or the server is another's", async () => {
    const { access } = await rig.serve();
    const { csrPem } = await createCsr(WEB);
    const nobody = createGrpcIssuer({
      access: { ...access, endpoint: { host: "127.0.0.1", port: 1 } },
      deadlineMs: 1_500,
    });
    rig.atEnd(() => nobody.close());
    expect((await failureOf(nobody.sign(WEB, csrPem, 60))).code).toBe(ErrorCode.CA_UNREACHABLE);
    const { certPem } = await createRoot({
      organization: "other",
      notBefore: Date.now() - HOUR,
      notAfter: Date.now() + HOUR,
    });
    const mistrusting = createGrpcIssuer({ access: { ...access, rootCa: certPem }, deadlineMs: 1_500 });
    rig.atEnd(() => mistrusting.close());
    expect((await failureOf(mistrusting.sign(WEB, csrPem, 60))).code).toBe(ErrorCode.CA_UNREACHABLE);
    const missing = rig.issuerOf({ ...access, rootCa: "/does/not/exist.pem" });
    expect(await failureOf(missing.sign(WEB, csrPem, 60))).toEqual({
      code: ErrorCode.CA_UNREACHABLE,
      message: expect.stringContaining("does not exist"),
    });
  });

  it("follows a changed roots file, and keeps the old roots while it is unreadable", async () => {
    const { access } = await rig.serve();
    const { csrPem } = await createCsr(WEB);
    const rootCa = join(rig.dir, "client-roots.pem");
    await writeFile(rootCa, await readFile(access.rootCa));
    const issuer = rig.issuerOf({ ...access, rootCa });
    expect(await issuer.sign(WEB, csrPem, 60)).toHaveLength(2);
    await writeFile(rootCa, "");
    expect(await issuer.sign(WEB, csrPem, 60)).toHaveLength(2);
    const { certPem } = await createRoot({
      organization: "other",
      notBefore: Date.now() - HOUR,
      notAfter: Date.now() + HOUR,
    });
    await writeFile(rootCa, certPem);
    expect((await failureOf(issuer.sign(WEB, csrPem, 60))).code).toBe(ErrorCode.CA_UNREACHABLE);
  });

  it("accepts the server by the name it was dialled with or the alternative name, and by no other", async () => {
    const { access } = await rig.serve();
    const { csrPem } = await createCsr(WEB);
    const byName = rig.issuerOf({ ...access, endpoint: { ...access.endpoint, host: "localhost" } });
    expect(await byName.sign(WEB, csrPem, 60)).toHaveLength(2);
    const other = { ...access, endpoint: { ...access.endpoint, host: "127.0.0.2" } };
    expect((await failureOf(rig.issuerOf(other).sign(WEB, csrPem, 60))).code).toBe(ErrorCode.CA_UNREACHABLE);
    expect(await rig.issuerOf({ ...other, altHostname: "istiod.istio-system.svc" }).sign(WEB, csrPem, 60)).toHaveLength(
      2,
    );
    const wrong = rig.issuerOf({ ...other, altHostname: "other.svc" });
    expect((await failureOf(wrong.sign(WEB, csrPem, 60))).code).toBe(ErrorCode.CA_UNREACHABLE);
  });

  it("refuses a flood of requests of one node without stopping others", async () => {
    const { access, answers } = await rig.serve();
    const { csrPem } = await createCsr(WEB);
    const issuer = rig.issuerOf(access);
    const outcomes = await Promise.all(Array.from({ length: 200 }, () => failureOf(issuer.sign(WEB, csrPem, 60))));
    expect(outcomes.some((outcome) => outcome.code === "success")).toBe(true);
    expect(answers.some((answer) => answer.status === status.RESOURCE_EXHAUSTED)).toBe(true);
    expect(await issuer.sign(WEB, csrPem, 60)).toHaveLength(2);
  });
});

describe("case 12: certificate requests that ask for too much", () => {
  async function refusal(csrPem: string): Promise<string> {
    const { access } = await rig.serve();
    const failure = await failureOf(rig.issuerOf(access).sign(WEB, csrPem, 60));
    expect(failure.code).toBe(ErrorCode.CA_REQUEST_REFUSED);
    return failure.message;
  }
  const uri = (text: string) => derTagged(0x86, Buffer.from(text));
  const ecKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" });

  it("refuses another identity than the one authorized", async () => {
    expect(await refusal((await createCsr(CART)).csrPem)).toContain("asks for other names");
  });

  it.each([
    ["an extra URI", [uri(WEB), uri(CART)]],
    ["an extra DNS name", [uri(WEB), derTagged(0x82, Buffer.from("bank.svc"))]],
    ["an IP", [uri(WEB), derTagged(0x87, Buffer.from([127, 0, 0, 1]))]],
    ["an e-mail", [derTagged(0x81, Buffer.from("a@b"))]],
  ])("refuses %s", async (_, names) => {
    expect(await refusal(signedCsr(ecKey(), { names }))).toContain("asks for other names");
  });

  it("refuses CA:true", async () => {
    expect(await refusal(signedCsr(ecKey(), { names: [uri(WEB)], ca: true }))).toContain("asks for a CA certificate");
  });

  it("refuses RSA 1024 and P-521, and takes RSA 2048 and P-384", async () => {
    const rsa = (modulusLength: number) => generateKeyPairSync("rsa", { modulusLength });
    expect(await refusal(signedCsr(rsa(1024), { names: [uri(WEB)] }))).toContain("got rsa 1024");
    expect(await refusal(signedCsr(generateKeyPairSync("ec", { namedCurve: "P-521" }), { names: [] }))).toContain(
      "secp521r1",
    );
    const { access } = await rig.serve();
    for (const keys of [rsa(2048), generateKeyPairSync("ec", { namedCurve: "P-384" })]) {
      expect(await rig.issuerOf(access).sign(WEB, signedCsr(keys, { names: [uri(WEB)] }), 60)).toHaveLength(2);
    }
  });

  it("refuses a huge CSR, an unsigned one, and garbage", async () => {
    const huge = signedCsr(ecKey(), { names: [uri(WEB), uri("a".repeat(20_000))] });
    expect(await refusal(huge)).toContain("at most 16384 bytes");
    const der = pemToDer(signedCsr(ecKey(), { names: [uri(WEB)] }), "CERTIFICATE REQUEST")[0]!;
    der[der.length - 3]! ^= 0x55;
    expect(await refusal(derToPem(der, "CERTIFICATE REQUEST"))).toContain("INVALID_ARGUMENT");
    expect(await refusal("not a CSR")).toContain("INVALID_ARGUMENT");
    expect(await refusal(derToPem(derSequence([Buffer.alloc(200)]), "CERTIFICATE REQUEST"))).toContain(
      "INVALID_ARGUMENT",
    );
  });

  it("signs a CSR without any name for the authorized identity only", async () => {
    const { access } = await rig.serve();
    const [leaf] = await rig.issuerOf(access).sign(WEB, signedCsr(ecKey(), { names: [] }), 60);
    expect(parsePeerCertificate(pemToDer(leaf!, "CERTIFICATE")[0]!)).toMatchObject({ ok: true, value: { uri: WEB } });
  });
});

function rawCall(access: ControlPlaneAccess, rootsPem: string, request: object): Promise<ServiceError> {
  return new Promise((resolve, reject) => {
    void import("@grpc/grpc-js").then(({ credentials }) => {
      const options = { "grpc.ssl_target_name_override": "localhost" };
      const client = new Client(
        `127.0.0.1:${access.endpoint.port}`,
        credentials.createSsl(Buffer.from(rootsPem)),
        options,
      );
      const metadata = new Metadata();
      metadata.set("authorization", "Bearer secret-1");
      const { path, requestSerialize, responseDeserialize } = CERTIFICATE_SERVICE.createCertificate;
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request as never, metadata, (error) => {
        client.close();
        if (error === null) reject(new Error("the call succeeded"));
        else resolve(error);
      });
    });
  });
}
