import { execFile, execFileSync } from "node:child_process";
import { createHash, createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import {
  CERTIFICATE_SERVICE,
  type ControlPlaneAccess,
  certificateRequest,
  createGrpcIssuer,
  createSecretManager,
  readIssued,
} from "@ambit/shared/ca";
import { ErrorCode, type MeshError } from "@ambit/shared/errors";
import type { SpiffeUri } from "@ambit/shared/identity";
import { type Clock, systemClock } from "@ambit/shared/time";
import { createHboneTlsAcceptor, dialHboneTls, identityContext, NO_REVOCATIONS } from "@ambit/shared/tls";
import {
  createCsr,
  createKeyPair,
  createRoot,
  derToPem,
  exportPrivateKeyPem,
  parsePeerCertificate,
  pemToDer,
  readSigner,
  signCertificate,
} from "@ambit/shared/x509";
import { eventually } from "@ambit/testing/eventually";
import { temporaryFolder } from "@ambit/testing/files";
import { Client, Metadata, Server, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import {
  type Authority,
  AuthorityFile,
  type CaAnswer,
  caService,
  createJoinTokens,
  createServerCredentials,
  openAuthority,
  promoteNextRoot,
  retirePreviousRoots,
  stageNextRoot,
} from "../src/ca/index.ts";
import { derSequence, derTagged, signedCsr } from "./hostile-csr.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web" as SpiffeUri;
const CART = "spiffe://cluster.local/ns/shop/sa/cart" as SpiffeUri;
const HOUR = 3_600_000;
const hasOpenssl = (() => {
  try {
    execFileSync("openssl", ["version"]);
    return true;
  } catch {
    return false;
  }
})();

let dir: string;
let cleanups: (() => unknown)[] = [];

beforeEach(() => {
  dir = temporaryFolder("ca");
  cleanups = [];
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

function open(overrides: { clock?: Clock; maxTtlMs?: number; onReloadFailed?: (error: MeshError) => void } = {}) {
  return openAuthority({ dir, trustDomain: "cluster.local", maxTtlMs: 24 * HOUR, clock: systemClock, ...overrides });
}

interface Rig {
  readonly authority: Authority;
  readonly access: ControlPlaneAccess;
  readonly answers: CaAnswer[];
  readonly tokensPath: string;
  /** Pods as `node/namespace/account`, and those with a token of their own as `namespace/pod/account`. */
  readonly pods: Set<string>;
}

/** The CA behind a real gRPC server with its own certificate, and a node `node1` whose token is `secret-1`. */
async function serve(overrides: Parameters<typeof open>[0] = {}): Promise<Rig> {
  const authority = await open(overrides);
  const tokensPath = join(dir, "tokens.json");
  await writeTokens(tokensPath, { node1: "secret-1", node2: "secret-2" });
  const pods = new Set(["node1/shop/web", "node2/shop/cart", "shop/wp-1/wp"]);
  const answers: CaAnswer[] = [];
  const service = caService({
    authority,
    authenticate: createJoinTokens({ path: tokensPath, clock: systemClock }),
    restriction: {
      trustDomain: "cluster.local",
      hasPod: (node, namespace, account) => pods.has(`${node}/${namespace}/${account}`),
      isRunning: (namespace, pod, account) => pods.has(`${namespace}/${pod}/${account}`),
    },
    onAnswer: (answer) => answers.push(answer),
  });
  const { credentials, stop } = await createServerCredentials({ authority, names: ["10.1.2.3"], clock: systemClock });
  const server = new Server();
  server.addService(service.definition, service.implementation);
  const bind = (address: string) =>
    new Promise<number>((resolve, reject) => {
      server.bindAsync(address, credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
    });
  const port = await bind("127.0.0.1:0");
  // An address that is not among the certificate's names.
  await bind(`127.0.0.2:${port}`);
  cleanups.push(() => {
    stop();
    server.forceShutdown();
  });
  const access = {
    endpoint: { host: "127.0.0.1", port },
    rootCa: join(dir, AuthorityFile.ROOT),
    headers: {},
    authToken: "secret-1",
    clusterId: "Kubernetes",
  };
  return { authority, access, answers, tokensPath, pods };
}

async function writeTokens(path: string, tokens: Record<string, string>): Promise<void> {
  const digests = Object.entries(tokens).map(([node, token]) => [
    node,
    createHash("sha256").update(token).digest("hex"),
  ]);
  const sha256 = createHash("sha256").update("secret-wp").digest("hex");
  const workloads = [{ sha256, namespace: "shop", serviceAccount: "wp", pod: "wp-1" }];
  await writeFile(`${path}.tmp`, JSON.stringify({ nodes: Object.fromEntries(digests), workloads }));
  await rename(`${path}.tmp`, path);
}

function issuerOf(access: ControlPlaneAccess) {
  const issuer = createGrpcIssuer({ access, deadlineMs: 20_000 });
  cleanups.push(() => issuer.close());
  return issuer;
}

async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = await promise.then(
    () => ({ code: "success", message: "" }),
    (reason: MeshError) => reason,
  );
  return { code: error.code, message: error.message };
}

describe("the certificate authority behind its gRPC service", () => {
  it("signs the identity of a pod on the caller's node: leaf first, roots last, usable on both ends", async () => {
    const { access, authority, answers } = await serve();
    const { csrPem, keyPem } = await createCsr(WEB);
    const chain = await issuerOf(access).sign(WEB, csrPem, 3_600);
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
    const { access, answers, pods } = await serve();
    const issuer = issuerOf({ ...access, authToken: "secret-wp" });
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
    const { access } = await serve();
    const kinds: string[] = [];
    const available = new Promise<void>((resolve) => {
      const manager = createSecretManager({
        issuer: issuerOf(access),
        clock: systemClock,
        random: Math.random,
        ttlSeconds: 60,
        onState(_, state) {
          kinds.push(state.kind);
          if (state.kind === "available") resolve();
        },
      });
      manager.want(WEB, "demand");
      cleanups.push(() => manager.stop());
    });
    await available;
    expect(kinds).toEqual(["initializing", "available"]);
  });

  it("case 14: refuses a node the identity of a pod that is not on it, and grants it once the pod is", async () => {
    const { access, answers, pods } = await serve();
    const { csrPem } = await createCsr(CART);
    const issuer = issuerOf(access);
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
    const { access, answers } = await serve();
    const { authToken: __, ...anonymous } = access;
    const { csrPem } = await createCsr(WEB);
    const issuer = issuerOf(token === undefined ? anonymous : { ...access, authToken: token });
    const failure = await failureOf(issuer.sign(WEB, csrPem, 60));
    expect(failure.message).toContain(reason);
    expect(answers.every((answer) => answer.status === status.UNAUTHENTICATED && answer.node === undefined)).toBe(true);
  });

  it("case 13: stops taking a token that was removed from the file, and takes a new one", async () => {
    const { access, tokensPath } = await serve();
    const { csrPem } = await createCsr(WEB);
    expect(await issuerOf(access).sign(WEB, csrPem, 60)).toHaveLength(2);
    await writeTokens(tokensPath, { node1: "secret-9" });
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect((await failureOf(issuerOf(access).sign(WEB, csrPem, 60))).message).toContain("UNAUTHENTICATED");
    expect(await issuerOf({ ...access, authToken: "secret-9" }).sign(WEB, csrPem, 60)).toHaveLength(2);
  });

  it("keeps the last good tokens when the file turns bad", async () => {
    const { access, tokensPath } = await serve();
    const { csrPem } = await createCsr(WEB);
    await issuerOf(access).sign(WEB, csrPem, 60);
    await writeFile(tokensPath, "{");
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await issuerOf(access).sign(WEB, csrPem, 60)).toHaveLength(2);
  });

  it("reads the token file anew for every call", async () => {
    const { access } = await serve();
    const tokenPath = join(dir, "node-token");
    await writeFile(tokenPath, "wrong\n");
    const issuer = issuerOf({ ...access, authToken: tokenPath });
    const { csrPem } = await createCsr(WEB);
    expect((await failureOf(issuer.sign(WEB, csrPem, 60))).code).toBe(ErrorCode.CA_REQUEST_REFUSED);
    await writeFile(tokenPath, "secret-1\n");
    expect(await issuer.sign(WEB, csrPem, 60)).toHaveLength(2);
  });

  it("refuses a request that names no identity, and one whose identity is no text", async () => {
    const { access, authority } = await serve();
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
    const { access } = await serve();
    const { csrPem } = await createCsr(WEB);
    const nobody = createGrpcIssuer({
      access: { ...access, endpoint: { host: "127.0.0.1", port: 1 } },
      deadlineMs: 1_500,
    });
    cleanups.push(() => nobody.close());
    expect((await failureOf(nobody.sign(WEB, csrPem, 60))).code).toBe(ErrorCode.CA_UNREACHABLE);
    const { certPem } = await createRoot({
      organization: "other",
      notBefore: Date.now() - HOUR,
      notAfter: Date.now() + HOUR,
    });
    const mistrusting = createGrpcIssuer({ access: { ...access, rootCa: certPem }, deadlineMs: 1_500 });
    cleanups.push(() => mistrusting.close());
    expect((await failureOf(mistrusting.sign(WEB, csrPem, 60))).code).toBe(ErrorCode.CA_UNREACHABLE);
    const missing = issuerOf({ ...access, rootCa: "/does/not/exist.pem" });
    expect(await failureOf(missing.sign(WEB, csrPem, 60))).toEqual({
      code: ErrorCode.CA_UNREACHABLE,
      message: expect.stringContaining("does not exist"),
    });
  });

  it("follows a changed roots file, and keeps the old roots while it is unreadable", async () => {
    const { access } = await serve();
    const { csrPem } = await createCsr(WEB);
    const rootCa = join(dir, "client-roots.pem");
    await writeFile(rootCa, await readFile(access.rootCa));
    const issuer = issuerOf({ ...access, rootCa });
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
    const { access } = await serve();
    const { csrPem } = await createCsr(WEB);
    const byName = issuerOf({ ...access, endpoint: { ...access.endpoint, host: "localhost" } });
    expect(await byName.sign(WEB, csrPem, 60)).toHaveLength(2);
    const other = { ...access, endpoint: { ...access.endpoint, host: "127.0.0.2" } };
    expect((await failureOf(issuerOf(other).sign(WEB, csrPem, 60))).code).toBe(ErrorCode.CA_UNREACHABLE);
    expect(await issuerOf({ ...other, altHostname: "istiod.istio-system.svc" }).sign(WEB, csrPem, 60)).toHaveLength(2);
    const wrong = issuerOf({ ...other, altHostname: "other.svc" });
    expect((await failureOf(wrong.sign(WEB, csrPem, 60))).code).toBe(ErrorCode.CA_UNREACHABLE);
  });

  it("refuses a flood of requests of one node without stopping others", async () => {
    const { access, answers } = await serve();
    const { csrPem } = await createCsr(WEB);
    const issuer = issuerOf(access);
    const outcomes = await Promise.all(Array.from({ length: 200 }, () => failureOf(issuer.sign(WEB, csrPem, 60))));
    expect(outcomes.some((outcome) => outcome.code === "success")).toBe(true);
    expect(answers.some((answer) => answer.status === status.RESOURCE_EXHAUSTED)).toBe(true);
    expect(await issuer.sign(WEB, csrPem, 60)).toHaveLength(2);
  });
});

describe("case 12: certificate requests that ask for too much", () => {
  async function refusal(csrPem: string): Promise<string> {
    const { access } = await serve();
    const failure = await failureOf(issuerOf(access).sign(WEB, csrPem, 60));
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
    const { access } = await serve();
    for (const keys of [rsa(2048), generateKeyPairSync("ec", { namedCurve: "P-384" })]) {
      expect(await issuerOf(access).sign(WEB, signedCsr(keys, { names: [uri(WEB)] }), 60)).toHaveLength(2);
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
    const { access } = await serve();
    const [leaf] = await issuerOf(access).sign(WEB, signedCsr(ecKey(), { names: [] }), 60);
    expect(parsePeerCertificate(pemToDer(leaf!, "CERTIFICATE")[0]!)).toMatchObject({ ok: true, value: { uri: WEB } });
  });
});

describe("the CA's files", () => {
  it("keeps its root over restarts, readable by its owner only", async () => {
    const first = await open();
    const again = await open();
    expect(again.signerPem()).toBe(first.signerPem());
    expect((await stat(join(dir, AuthorityFile.KEY))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(dir, AuthorityFile.ROOT), "utf8")).toBe(first.rootsPem());
  });

  it("refuses to start with a certificate without key, a foreign key, or an expired root", async () => {
    await open();
    const keyPath = join(dir, AuthorityFile.KEY);
    const key = await readFile(keyPath);
    await rm(keyPath);
    expect(await failureOf(open())).toMatchObject({
      code: ErrorCode.CONFIG_INVALID,
      message: expect.stringContaining("missing"),
    });
    await writeFile(keyPath, await exportPrivateKeyPem((await createKeyPair()).privateKey));
    expect((await failureOf(open())).message).toContain("does not belong");
    await writeFile(keyPath, key);
    const later = { ...systemClock, now: () => Date.now() + 11 * 365 * 24 * HOUR };
    expect((await failureOf(open({ clock: later }))).message).toContain("expired");
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
    await writeFile(join(dir, AuthorityFile.CERT), certPem);
    await writeFile(join(dir, AuthorityFile.KEY), keyPem);
    await writeFile(join(dir, AuthorityFile.CHAIN), certPem + root.certPem);
    await writeFile(join(dir, AuthorityFile.ROOT), root.certPem);
    const { access } = await serve();
    const { csrPem, keyPem: leafKey } = await createCsr(WEB);
    const chain = await issuerOf(access).sign(WEB, csrPem, 48 * 3_600);
    expect(chain.slice(1)).toEqual([certPem, root.certPem]);
    const { material } = readIssued(WEB, leafKey, chain, Date.now());
    // Never beyond the CA's own end, less the second that encoding drops.
    expect(material.notAfter).toBeLessThanOrEqual(window.notAfter);
    expect(await readFile(join(dir, AuthorityFile.ROOT), "utf8")).toBe(root.certPem);
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
    await writeFile(join(dir, AuthorityFile.CERT), await signCertificate(signer, wishes));
    await writeFile(join(dir, AuthorityFile.KEY), keyPem);
    await writeFile(join(dir, AuthorityFile.ROOT), other.certPem);
    expect((await failureOf(open())).message).toContain("does not chain up");
  });

  it("keeps signing with the last good files when new ones are unusable", async () => {
    const failures: MeshError[] = [];
    const authority = await open({ onReloadFailed: (error) => failures.push(error) });
    const before = authority.signerPem();
    await writeFile(join(dir, AuthorityFile.CERT), "garbage");
    await authority.reload();
    expect(authority.signerPem()).toBe(before);
    expect(failures).toHaveLength(1);
  });
});

describe("case 57: root rotation", () => {
  async function materialOf(access: ControlPlaneAccess) {
    const { csrPem, keyPem } = await createCsr(WEB);
    const chain = await issuerOf(access).sign(WEB, csrPem, 600);
    return readIssued(WEB, keyPem, chain, Date.now()).material;
  }

  it("never has two workloads that cannot talk, whichever of them renewed", async () => {
    const { access, authority } = await serve();
    const before = await materialOf(access);
    await stageNextRoot(dir, "cluster.local", Date.now());
    await authority.reload();
    const staged = await materialOf(access);
    expect(pemToDer(staged.rootsPem, "CERTIFICATE")).toHaveLength(2);
    await promoteNextRoot(dir);
    await authority.reload();
    const promoted = await materialOf(access);
    await serverSignedBy(access.endpoint.port, authority.signerPem());
    await retirePreviousRoots(dir);
    await authority.reload();
    const retired = await materialOf(access);
    expect(pemToDer(retired.rootsPem, "CERTIFICATE")).toHaveLength(1);
    for (const [one, other] of [
      [before, staged],
      [staged, promoted],
      [promoted, retired],
    ] as const) {
      await expectTalk(one, other);
      await expectTalk(other, one);
    }
    // Two steps apart it must fail: the waits between the steps are there for a reason.
    await expect(expectTalk(before, promoted)).rejects.toThrow();
  });

  it("renews the server's certificate with the new root, without a restart", async () => {
    const authority = await open();
    let tick = () => {};
    const clock: Clock = {
      ...systemClock,
      after(_, task) {
        tick = task;
        return () => undefined;
      },
    };
    const { credentials, stop } = await createServerCredentials({ authority, names: [], clock });
    const server = new Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    cleanups.push(() => {
      stop();
      server.forceShutdown();
    });
    const oldRoot = authority.signerPem();
    await stageNextRoot(dir, "cluster.local", Date.now());
    const nextRoot = await readFile(join(dir, AuthorityFile.NEXT_CERT), "utf8");
    await promoteNextRoot(dir);
    expect([await serverAuthorized(port, oldRoot), await serverAuthorized(port, nextRoot)]).toEqual([true, false]);
    tick();
    await serverSignedBy(port, nextRoot);
    expect(await serverAuthorized(port, oldRoot)).toBe(false);
  });

  it("renews the server's certificate at half of its life", async () => {
    let nowMs = Date.now();
    let tick = () => {};
    const clock: Clock = {
      ...systemClock,
      now: () => nowMs,
      after(_, task) {
        tick = task;
        return () => undefined;
      },
    };
    const authority = await open({ clock, maxTtlMs: HOUR });
    const { credentials, stop } = await createServerCredentials({ authority, names: [], clock });
    cleanups.push(stop);
    const updates: unknown[] = [];
    credentials._addWatcher((context) => updates.push(context));
    nowMs += 0.4 * HOUR;
    tick();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(updates).toHaveLength(0);
    nowMs += 0.2 * HOUR;
    tick();
    await eventually("it is renewed", () => updates.length > 0);
    expect(updates).toHaveLength(1);
  });

  it("finishes a promotion that a crash interrupted between its two renames", async () => {
    const first = await open();
    await stageNextRoot(dir, "cluster.local", Date.now());
    const next = await readFile(join(dir, AuthorityFile.NEXT_CERT), "utf8");
    await writeFile(join(dir, AuthorityFile.PREVIOUS), first.signerPem());
    await rename(join(dir, AuthorityFile.NEXT_KEY), join(dir, AuthorityFile.KEY));
    const again = await open();
    expect(again.signerPem()).toBe(next);
    expect(again.rootsPem()).toContain(first.signerPem().trim());
    expect(await readFile(join(dir, AuthorityFile.CERT), "utf8")).toBe(next);
  });
});

(hasOpenssl ? describe : describe.skip)("openssl (skipped where it is not installed)", () => {
  it("reads our leaf, and verifies it against our root for both purposes", async () => {
    const { access } = await serve();
    const { csrPem } = await createCsr(WEB);
    const [leaf, roots] = await issuerOf(access).sign(WEB, csrPem, 600);
    const [leafPath, rootsPath] = [join(dir, "leaf.pem"), join(dir, "roots.pem")];
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
    const csrPath = join(dir, "csr.pem");
    await writeFile(csrPath, csrPem);
    const csr = execFileSync("openssl", ["req", "-in", csrPath, "-noout", "-verify", "-text"], {
      encoding: "utf8",
      stdio: ["pipe", "pipe", "ignore"],
    });
    expect(csr).toContain(`URI:${WEB}`);
  });

  it("signs with an intermediate made by openssl, RSA and with UTF-8 names, keeping the issuer's bytes", async () => {
    const run = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
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
      join(dir, "ext"),
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
    await writeFile(join(dir, AuthorityFile.CHAIN), await readFile(join(dir, AuthorityFile.CERT)));
    const { access } = await serve();
    const { csrPem } = await createCsr(WEB);
    const chain = await issuerOf(access).sign(WEB, csrPem, 600);
    await writeFile(join(dir, "leaf.pem"), chain[0]!);
    const args = ["verify", "-x509_strict", "-CAfile", "root-cert.pem", "-untrusted", "ca-cert.pem", "leaf.pem"];
    expect(String(run(...args))).toContain("OK");
    const nameOf = (which: string, file: string) =>
      String(run("x509", "-in", file, "-noout", `-${which}`, "-nameopt", "dump_all,dump_der,oid"));
    expect(nameOf("issuer", "leaf.pem").replace("issuer=", "")).toBe(
      nameOf("subject", "ca-cert.pem").replace("subject=", ""),
    );
  });

  it("sees TLS 1.3 and the configured names on port 15012's server", async () => {
    const { access } = await serve();
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

/** One HBONE handshake over a real socket; throws when either end refuses. */
async function expectTalk(
  client: Parameters<typeof identityContext>[0],
  server: Parameters<typeof identityContext>[0],
): Promise<void> {
  const { createServer, connect: connectTcp } = await import("node:net");
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as { port: number };
  try {
    const accepted = new Promise<void>((resolve, reject) => {
      const acceptor = createHboneTlsAcceptor({
        material: server,
        handshakeTimeoutMs: 10_000,
        revocation: NO_REVOCATIONS,
        onSecure(socket) {
          socket.destroy();
          resolve();
        },
        onFailure: reject,
      });
      listener.on("connection", (socket) => acceptor.accept(socket));
    });
    const dialled = dialHboneTls({
      socket: connectTcp({ host: "127.0.0.1", port }),
      context: identityContext(client),
      expected: [server.identity],
      handshakeTimeoutMs: 10_000,
      revocation: NO_REVOCATIONS,
    });
    const [first, second] = await Promise.allSettled([dialled, accepted]);
    if (first.status === "fulfilled") first.value.socket.destroy();
    for (const outcome of [first, second]) if (outcome.status === "rejected") throw outcome.reason;
  } finally {
    await new Promise((resolve) => listener.close(resolve));
  }
}

function serverAuthorized(port: number, ca: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, ca, ALPNProtocols: ["h2"] }, () => {
      resolve(true);
      socket.destroy();
    });
    socket.on("error", () => resolve(false));
  });
}

async function serverSignedBy(port: number, ca: string): Promise<void> {
  await eventually("the server's certificate is renewed", () => serverAuthorized(port, ca));
}

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
