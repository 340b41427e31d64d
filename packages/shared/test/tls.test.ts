import { once } from "node:events";
import { connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { type ConnectionOptions, connect, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { SpiffeUri } from "@ambit/shared/identity";
import { systemClock } from "@ambit/shared/time";
import {
  createHboneTlsAcceptor,
  dialHboneTls,
  type HboneTlsAcceptor,
  type HboneTlsAcceptorInit,
  type HboneTlsConnection,
  type HboneTlsDial,
  type IdentityMaterial,
  identityContext,
  isPeerRevoked,
  NO_REVOCATIONS,
  type PeerIdentity,
  revocationOf,
} from "@ambit/shared/tls";
import { pemToDer, readCertificate } from "@ambit/shared/x509";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { CART, createTestAuthority, HOUR_MS, type TestAuthority, WEB } from "./test-authority.ts";

const OTHER_DOMAIN = "spiffe://other.example/ns/shop/sa/web" as SpiffeUri;

let authority: TestAuthority;
let web: IdentityMaterial;
let cart: IdentityMaterial;

beforeAll(async () => {
  authority = await createTestAuthority();
  web = await authority.issue(WEB);
  cart = await authority.issue(CART);
});

/** An HBONE TLS server on a real port, with what it saw. */
interface Listening {
  readonly port: number;
  readonly server: Server;
  readonly acceptor: HboneTlsAcceptor;
  readonly secured: { socket: TLSSocket; peer: PeerIdentity }[];
  readonly failures: MeshError[];
  readonly raw: Socket[];
  /** Resolves with the next secured socket or failure that was not yet taken. */
  next(): Promise<{ socket: TLSSocket; peer: PeerIdentity } | MeshError>;
}

const open: { destroy(): void }[] = [];
let cleanups: (() => Promise<unknown> | unknown)[] = [];

beforeEach(() => {
  cleanups = [];
});

afterEach(async () => {
  for (const socket of open.splice(0)) socket.destroy();
  for (const cleanup of cleanups) await cleanup();
});

async function listen(init: Partial<HboneTlsAcceptorInit> = {}): Promise<Listening> {
  const waiting: ((outcome: { socket: TLSSocket; peer: PeerIdentity } | MeshError) => void)[] = [];
  const outcomes: ({ socket: TLSSocket; peer: PeerIdentity } | MeshError)[] = [];
  const emit = (outcome: { socket: TLSSocket; peer: PeerIdentity } | MeshError) => {
    const waiter = waiting.shift();
    if (waiter === undefined) outcomes.push(outcome);
    else waiter(outcome);
  };
  const secured: Listening["secured"] = [];
  const failures: MeshError[] = [];
  const raw: Socket[] = [];
  const acceptor = createHboneTlsAcceptor({
    material: cart,
    handshakeTimeoutMs: 20_000,
    revocation: NO_REVOCATIONS,
    onSecure(socket, peer) {
      open.push(socket);
      secured.push({ socket, peer });
      emit({ socket, peer });
    },
    onFailure(error) {
      failures.push(error as MeshError);
      emit(error as MeshError);
    },
    ...init,
  });
  const server = createServer((socket) => {
    raw.push(socket);
    acceptor.accept(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => {
    acceptor.close();
    for (const socket of raw) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as { port: number };
  const next = () => {
    const ready = outcomes.shift();
    return ready ? Promise.resolve(ready) : new Promise<(typeof outcomes)[number]>((resolve) => waiting.push(resolve));
  };
  return { port, server, acceptor, secured, failures, raw, next };
}

function dial(
  port: number,
  material: IdentityMaterial,
  overrides: Partial<HboneTlsDial> = {},
): Promise<HboneTlsConnection> {
  const socket = connectTcp({ host: "127.0.0.1", port });
  open.push(socket);
  return dialHboneTls({
    socket,
    context: identityContext(material),
    expected: [CART],
    handshakeTimeoutMs: 20_000,
    revocation: NO_REVOCATIONS,
    ...overrides,
  });
}

/** A client of another make: plain `tls.connect` with whatever options. Resolves when it is over. */
async function attack(port: number, options: ConnectionOptions): Promise<{ error: string; received: number }> {
  const socket = connect({
    host: "127.0.0.1",
    port,
    rejectUnauthorized: false,
    servername: "",
    ALPNProtocols: ["h2"],
    ...options,
  });
  open.push(socket);
  let error = "";
  let received = 0;
  socket.on("error", (cause: Error & { code?: string }) => {
    error = cause.code ?? cause.message;
  });
  socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  socket.on("secureConnect", () => socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  await once(socket, "close").catch(() => undefined);
  return { error, received };
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => "success",
    (reason: unknown) => reason,
  );
  return error instanceof MeshError ? error.code : `no MeshError but ${String(error)}`;
}

async function expectRefused(server: Listening, code: string, reason?: string): Promise<void> {
  const outcome = await server.next();
  expect(outcome).toBeInstanceOf(MeshError);
  if (!(outcome instanceof MeshError)) return;
  expect(outcome.code).toBe(code);
  if (reason !== undefined) expect(outcome.message).toContain(reason);
  expect(server.secured).toHaveLength(0);
  expect(server.raw.every((socket) => socket.destroyed)).toBe(true);
}

describe("HBONE TLS between two of ours", () => {
  it("agrees on TLS 1.3, AES-256-GCM and h2, and names both ends", async () => {
    const server = await listen();
    const client = await dial(server.port, web);
    const accepted = await server.next();
    if (accepted instanceof MeshError) throw accepted;
    expect(client.peer).toMatchObject({
      uri: CART,
      id: { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "cart" },
    });
    expect(accepted.peer.uri).toBe(WEB);
    expect(accepted.peer.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(client.socket.getProtocol()).toBe("TLSv1.3");
    expect(client.socket.getCipher().name).toBe("TLS_AES_256_GCM_SHA384");
    expect([client.socket.alpnProtocol, accepted.socket.alpnProtocol]).toEqual(["h2", "h2"]);
    expect(accepted.socket.servername || false).toBe(false);
  });

  it("carries bytes both ways and lets each direction end on its own", async () => {
    const server = await listen();
    const client = await dial(server.port, web);
    const accepted = await server.next();
    if (accepted instanceof MeshError) throw accepted;
    client.socket.end("question");
    const asked: Buffer[] = [];
    for await (const chunk of accepted.socket.iterator({ destroyOnReturn: false })) asked.push(chunk);
    expect(Buffer.concat(asked).toString()).toBe("question");
    expect(accepted.socket.writable).toBe(true);
    accepted.socket.end("answer");
    const [answer] = (await once(client.socket, "data")) as [Buffer];
    expect(answer.toString()).toBe("answer");
  });

  it("keeps what the peer sent before the verdict for the owner", async () => {
    const server = await listen();
    const client = await dial(server.port, web);
    client.socket.write("early");
    const accepted = await server.next();
    if (accepted instanceof MeshError) throw accepted;
    const [early] = (await once(accepted.socket, "data")) as [Buffer];
    expect(early.toString()).toBe("early");
  });

  it("verifies over intermediates and names them for revocation", async () => {
    const middle = await authority.intermediate();
    const server = await listen({ material: await middle.issue(CART) });
    const client = await dial(server.port, await middle.issue(WEB));
    expect(client.peer.intermediates).toHaveLength(1);
    const accepted = await server.next();
    if (accepted instanceof MeshError) throw accepted;
    expect(accepted.peer.intermediates).toEqual(client.peer.intermediates);
  });

  it("uses a new certificate for new connections and leaves live ones alone", async () => {
    const server = await listen();
    const before = await dial(server.port, web);
    server.acceptor.update(await authority.issue(CART));
    const after = await dial(server.port, web);
    expect(after.peer.fingerprint).not.toBe(before.peer.fingerprint);
    expect(before.socket.destroyed).toBe(false);
  });

  it("never resumes a session", async () => {
    const server = await listen();
    const options = {
      port: server.port,
      host: "127.0.0.1",
      servername: "",
      key: web.keyPem,
      cert: web.chainPem,
      ca: web.rootsPem,
    };
    const first = connect({ ...options, checkServerIdentity: () => undefined });
    open.push(first);
    const sessions: Buffer[] = [];
    first.on("session", (session) => sessions.push(session));
    first.on("error", () => undefined);
    const accepted = await server.next();
    if (accepted instanceof MeshError) throw accepted;
    accepted.socket.write("x");
    await once(first, "data");
    const [session] = sessions;
    const second = connect({ ...options, checkServerIdentity: () => undefined, ...(session && { session }) });
    open.push(second);
    await once(second, "secureConnect");
    expect(second.isSessionReused()).toBe(false);
  });

  it("accepts a client that offers no ALPN, as ztunnel does", async () => {
    const server = await listen();
    const options = { servername: "", key: web.keyPem, cert: web.chainPem, ca: web.rootsPem };
    const client = connect({ host: "127.0.0.1", port: server.port, ...options, checkServerIdentity: () => undefined });
    open.push(client);
    client.on("error", () => undefined);
    expect(await server.next()).toMatchObject({ peer: { uri: WEB } });
  });
});

describe("the server's verdict on the client", () => {
  const clientOptions = (material: IdentityMaterial): ConnectionOptions => ({
    key: material.keyPem,
    cert: material.chainPem,
  });

  it("case 1: refuses a client without a certificate", async () => {
    const server = await listen();
    const result = await attack(server.port, {});
    expect(result).toMatchObject({ received: 0, error: "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED" });
    await expectRefused(server, ErrorCode.TLS_HANDSHAKE_FAILED, "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE");
  });

  it("case 2: refuses a certificate of another CA, even one with the same name", async () => {
    const server = await listen();
    const stranger = await (await createTestAuthority()).issue(WEB);
    expect((await attack(server.port, clientOptions(stranger))).received).toBe(0);
    await expectRefused(server, ErrorCode.TLS_HANDSHAKE_FAILED);
  });

  it("case 2: refuses a self-signed certificate", async () => {
    const server = await listen();
    const self = await createTestAuthority();
    const keyless = { ...(await self.issue(WEB)), chainPem: (await self.issue(WEB)).chainPem };
    const own = await self.issue(WEB);
    expect((await attack(server.port, { key: own.keyPem, cert: own.chainPem + keyless.rootsPem })).received).toBe(0);
    await expectRefused(server, ErrorCode.TLS_HANDSHAKE_FAILED);
  });

  it.each([
    ["an expired certificate", { notBefore: -2 * HOUR_MS, notAfter: -1000 }, "CERT_HAS_EXPIRED"],
    ["a certificate that is not valid yet", { notBefore: HOUR_MS, notAfter: 2 * HOUR_MS }, "CERT_NOT_YET_VALID"],
  ])("case 2: refuses %s", async (_, window, reason) => {
    const server = await listen();
    const now = Date.now();
    const late = await authority.issue(WEB, { notBefore: now + window.notBefore, notAfter: now + window.notAfter });
    expect((await attack(server.port, clientOptions(late))).received).toBe(0);
    await expectRefused(server, ErrorCode.TLS_HANDSHAKE_FAILED, reason);
  });

  it("case 3: refuses a client of another trust domain under the same CA", async () => {
    const server = await listen();
    expect((await attack(server.port, clientOptions(await authority.issue(OTHER_DOMAIN)))).received).toBe(0);
    await expectRefused(server, ErrorCode.TLS_PEER_TRUST_DOMAIN_MISMATCH, OTHER_DOMAIN);
  });

  it.each([
    ["two URI SANs", [WEB, CART]],
    ["a SAN with NUL", [`${WEB}\0.evil`]],
    ["an upper-case scheme", ["SPIFFE://cluster.local/ns/shop/sa/web"]],
    ["a trailing slash", [`${WEB}/`]],
    ["a percent escape", ["spiffe://cluster.local/ns/shop/sa/%2e"]],
    ["a 2 KB SAN", [`${WEB}${"a".repeat(2048)}`]],
    ["no URI SAN", []],
  ])("case 4: refuses %s", async (_, uris) => {
    const server = await listen();
    const odd = await authority.issue(WEB, { uris, hosts: ["web.shop"] });
    expect((await attack(server.port, clientOptions(odd))).received).toBe(0);
    await expectRefused(server, ErrorCode.TLS_PEER_IDENTITY_MISMATCH);
  });

  it("refuses a certificate that is for servers only", async () => {
    const server = await listen();
    const odd = await authority.issue(WEB, { purposes: ["server"] });
    expect((await attack(server.port, clientOptions(odd))).received).toBe(0);
    await expectRefused(server, ErrorCode.TLS_HANDSHAKE_FAILED, "INVALID_PURPOSE");
  });

  it.each<[string, ConnectionOptions]>([
    ["TLS 1.2 only", { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" }],
    ["ChaCha20 only", { ciphers: "TLS_CHACHA20_POLY1305_SHA256", minVersion: "TLSv1.3" }],
    ["the group P-521 only", { ecdhCurve: "P-521", minVersion: "TLSv1.3" }],
    ["a finite-field group only", { ecdhCurve: "ffdhe2048", minVersion: "TLSv1.3" }],
    ["ALPN without h2", { ALPNProtocols: ["http/1.1"] }],
  ])("case 10: refuses %s", async (_, options) => {
    const server = await listen();
    expect((await attack(server.port, { ...clientOptions(web), ...options })).received).toBe(0);
    await expectRefused(server, ErrorCode.TLS_HANDSHAKE_FAILED);
  });

  it("case 10: has no renegotiation and takes no early data", async () => {
    const server = await listen();
    const client = connect({
      host: "127.0.0.1",
      port: server.port,
      servername: "",
      ...clientOptions(web),
      ca: web.rootsPem,
      checkServerIdentity: () => undefined,
    });
    open.push(client);
    client.on("error", () => undefined);
    await once(client, "secureConnect");
    // TLS 1.3 has none: OpenSSL refuses to start one.
    const refused = await new Promise((resolve) => client.renegotiate({}, resolve));
    expect(String(refused)).toContain("Error");
    const session = client.getSession();
    expect(session === undefined ? 0 : Number(/max_early_data:(\d+)/.exec(session.toString("latin1"))?.[1] ?? 0)).toBe(
      0,
    );
  });

  it("case 11: refuses a revoked leaf and a revoked intermediate", async () => {
    const middle = await authority.intermediate();
    const client = await middle.issue(WEB);
    const [leaf, above] = pemToDer(client.chainPem, "CERTIFICATE").map((der) => readCertificate(der));
    for (const certificate of [leaf, above]) {
      if (!certificate?.ok) throw new Error("unreadable");
      const revocation = revocationOf({ [certificate.value.issuer]: [certificate.value.serial] });
      const server = await listen({ revocation });
      expect((await attack(server.port, clientOptions(client))).received).toBe(0);
      await expectRefused(server, ErrorCode.TLS_PEER_CERTIFICATE_REVOKED, WEB);
    }
  });

  it("case 11: answers for a live connection when its certificate is revoked later", async () => {
    const server = await listen();
    const client = await dial(server.port, web);
    expect(isPeerRevoked(client.peer, NO_REVOCATIONS)).toBe(false);
    const { issuer, serial } = client.peer;
    expect(isPeerRevoked(client.peer, revocationOf({ [issuer]: [serial.toUpperCase()] }))).toBe(true);
    expect(isPeerRevoked(client.peer, revocationOf({ [issuer]: ["1"], other: [serial] }))).toBe(false);
  });

  it("case 57: presents no certificate of its own that has expired", async () => {
    const server = await listen({ clock: { ...systemClock, now: () => cart.notAfter + 1 } });
    expect(await codeOf(dial(server.port, web))).toBe(ErrorCode.TLS_HANDSHAKE_FAILED);
    await expectRefused(server, ErrorCode.IDENTITY_UNAVAILABLE, "has expired");
  });
});

describe("the server under misuse", () => {
  it("cuts a client that sends nothing, or drips bytes, at the deadline", async () => {
    const server = await listen({ handshakeTimeoutMs: 150 });
    const silent = connectTcp({ host: "127.0.0.1", port: server.port });
    const dripping = connectTcp({ host: "127.0.0.1", port: server.port });
    open.push(silent, dripping);
    for (const socket of [silent, dripping]) socket.on("error", () => undefined);
    const header = Buffer.from("160301010001", "hex");
    let sent = 0;
    const drip = setInterval(() => dripping.write(header.subarray(sent, ++sent)), 20);
    await Promise.all([once(silent, "close"), once(dripping, "close")]);
    clearInterval(drip);
    expect(server.failures.map((failure) => failure.code)).toEqual([
      ErrorCode.TLS_HANDSHAKE_TIMEOUT,
      ErrorCode.TLS_HANDSHAKE_TIMEOUT,
    ]);
  });

  it.each([
    ["plain HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
    ["a raw HTTP/2 preface", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
    ["a record longer than allowed", Buffer.from("160301ffff", "hex")],
    ["zeros", Buffer.alloc(1024)],
  ])("refuses %s at once", async (_, bytes) => {
    const server = await listen();
    const socket = connectTcp({ host: "127.0.0.1", port: server.port });
    open.push(socket);
    socket.on("error", () => undefined);
    socket.write(bytes);
    await expectRefused(server, ErrorCode.TLS_HANDSHAKE_FAILED);
  });

  it("case 61: frees everything when the client ends or resets at any byte of its first flight", async () => {
    const server = await listen();
    const hello = await firstFlight();
    for (const length of [0, 1, 5, 6, 60, hello.length - 1, hello.length]) {
      for (const leave of ["end", "resetAndDestroy"] as const) {
        const socket = connectTcp({ host: "127.0.0.1", port: server.port, allowHalfOpen: true });
        open.push(socket);
        socket.on("error", () => undefined);
        await once(socket, "connect");
        socket.write(hello.subarray(0, length), () => socket[leave]());
        expect(await server.next()).toMatchObject({ code: ErrorCode.TLS_HANDSHAKE_FAILED });
      }
    }
    expect(server.raw.every((socket) => socket.destroyed)).toBe(true);
    expect(server.secured).toHaveLength(0);
  });

  it("cuts the oldest handshake when too many are under way, and serves the new one", async () => {
    const server = await listen({ maxPendingHandshakes: 2 });
    const idle = [1, 2].map(() => connectTcp({ host: "127.0.0.1", port: server.port }));
    open.push(...idle);
    for (const socket of idle) {
      socket.on("error", () => undefined);
      await once(socket, "connect");
    }
    const client = await dial(server.port, web);
    expect(client.peer.uri).toBe(CART);
    expect(server.failures.map((failure) => failure.message)).toEqual([
      expect.stringContaining("more than 2 handshakes"),
    ]);
  });

  it("survives an owner that throws, and reports it", async () => {
    const failures: Error[] = [];
    const server = await listen({
      onSecure() {
        throw new Error("owner's bug");
      },
      onFailure(error) {
        failures.push(error);
        throw new Error("listener's bug");
      },
    });
    const client = await dial(server.port, web);
    await once(client.socket, "end");
    expect(failures.map((failure) => failure.message)).toEqual(["owner's bug"]);
  });

  it("cuts handshakes under way when it closes, and refuses later sockets", async () => {
    const server = await listen();
    const idle = connectTcp({ host: "127.0.0.1", port: server.port });
    open.push(idle);
    idle.on("error", () => undefined);
    await once(server.server, "connection");
    server.acceptor.close();
    await once(idle, "close");
    expect(await server.next()).toMatchObject({ code: ErrorCode.CANCELLED });
    expect(await codeOf(dial(server.port, web))).toBe(ErrorCode.TLS_HANDSHAKE_FAILED);
  });

  it("refuses unusable key material and keeps the certificate it has", async () => {
    const server = await listen();
    const mixed = { ...cart, keyPem: web.keyPem };
    expect(() => server.acceptor.update(mixed)).toThrow(
      expect.objectContaining({ code: ErrorCode.IDENTITY_UNAVAILABLE }),
    );
    expect(() => identityContext({ ...web, chainPem: "garbage" })).toThrow(
      expect.objectContaining({ code: ErrorCode.IDENTITY_UNAVAILABLE }),
    );
    expect((await dial(server.port, web)).peer.uri).toBe(CART);
  });
});

describe("the client's verdict on the server", () => {
  it("takes any of several expected identities, and no other", async () => {
    const server = await listen();
    expect((await dial(server.port, web, { expected: [WEB, CART] })).peer.uri).toBe(CART);
    expect(await codeOf(dial(server.port, web, { expected: [WEB] }))).toBe(ErrorCode.TLS_PEER_IDENTITY_MISMATCH);
    expect(await codeOf(dial(server.port, web, { expected: [] }))).toBe(ErrorCode.TLS_PEER_IDENTITY_MISMATCH);
  });

  it("takes any workload of a trust domain when told so, and none of another", async () => {
    const server = await listen();
    expect((await dial(server.port, web, { expected: { trustDomain: "cluster.local" } })).peer.uri).toBe(CART);
    const other = { expected: { trustDomain: "cluster.localhost" } };
    expect(await codeOf(dial(server.port, web, other))).toBe(ErrorCode.TLS_PEER_IDENTITY_MISMATCH);
  });

  it("refuses servers whose certificate is not for servers, expired, of another CA, or has two URI SANs", async () => {
    const now = Date.now();
    const rows: [string, IdentityMaterial, ErrorCode][] = [
      ["purpose", await authority.issue(CART, { purposes: ["client"] }), ErrorCode.TLS_HANDSHAKE_FAILED],
      ["other CA", await (await createTestAuthority()).issue(CART), ErrorCode.TLS_HANDSHAKE_FAILED],
      [
        "expired",
        await authority.issue(CART, { notBefore: now - HOUR_MS, notAfter: now - 1 }),
        ErrorCode.TLS_HANDSHAKE_FAILED,
      ],
      ["two SANs", await authority.issue(CART, { uris: [CART, WEB] }), ErrorCode.TLS_PEER_IDENTITY_MISMATCH],
    ];
    for (const [label, material, code] of rows) {
      const server = await listenPlainTls({ key: material.keyPem, cert: material.chainPem, ALPNProtocols: ["h2"] });
      expect([label, await codeOf(dial(server, web))]).toEqual([label, code]);
    }
  });

  it("case 10: refuses a server that speaks TLS 1.2 only", async () => {
    const server = await listenPlainTls({ key: cart.keyPem, cert: cart.chainPem, maxVersion: "TLSv1.2" });
    expect(await codeOf(dial(server, web))).toBe(ErrorCode.TLS_HANDSHAKE_FAILED);
  });

  it("case 11: refuses a revoked server", async () => {
    const server = await listen();
    const { peer } = await dial(server.port, web);
    const revocation = revocationOf({ [peer.issuer]: [peer.serial] });
    expect(await codeOf(dial(server.port, web, { revocation }))).toBe(ErrorCode.TLS_PEER_CERTIFICATE_REVOKED);
  });

  it("refuses a context whose roots it does not know", async () => {
    const server = await listen();
    const { createSecureContext } = await import("node:tls");
    const context = createSecureContext({ key: web.keyPem, cert: web.chainPem, ca: web.rootsPem });
    expect(await codeOf(dial(server.port, web, { context }))).toBe(ErrorCode.TLS_HANDSHAKE_FAILED);
  });

  it("gives up at the deadline on a server that says nothing", async () => {
    const silent = createServer((socket) => open.push(socket));
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    cleanups.push(() => new Promise((resolve) => silent.close(resolve)));
    const { port } = silent.address() as { port: number };
    expect(await codeOf(dial(port, web, { handshakeTimeoutMs: 100 }))).toBe(ErrorCode.TLS_HANDSHAKE_TIMEOUT);
  });

  it("fails when nobody listens, and when the peer closes or resets before the handshake ends", async () => {
    const closing = createServer((socket) => socket.destroy());
    const resetting = createServer((socket) => socket.resetAndDestroy());
    for (const server of [closing, resetting]) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as { port: number };
      const failure = await dial(port, web).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: ErrorCode.TLS_HANDSHAKE_FAILED, retry: "safe" });
      await new Promise((resolve) => server.close(resolve));
      expect(await codeOf(dial(port, web))).toBe(ErrorCode.TLS_HANDSHAKE_FAILED);
    }
  });

  it("surfaces a refusal that comes right after the handshake as the end of the socket", async () => {
    const server = await listen();
    const stranger = { ...(await (await createTestAuthority()).issue(WEB)), rootsPem: authority.rootsPem };
    const outcome = await dial(server.port, stranger).then(
      async ({ socket }) => {
        await Promise.race([once(socket, "end"), once(socket, "close")]).catch(() => undefined);
        return socket.destroyed || socket.readableEnded;
      },
      (error: unknown) => error instanceof MeshError,
    );
    expect(outcome).toBe(true);
    await expectRefused(server, ErrorCode.TLS_HANDSHAKE_FAILED);
  });
});

async function listenPlainTls(options: Parameters<typeof createTlsServer>[0]): Promise<number> {
  const server = createTlsServer({ ...options, requestCert: true, rejectUnauthorized: false }, (socket) => {
    open.push(socket);
    socket.on("error", () => undefined);
  });
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as { port: number }).port;
}

/** The bytes of a real ClientHello. */
async function firstFlight(): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const client = connect({ host: "127.0.0.1", port, servername: "", key: web.keyPem, cert: web.chainPem });
  client.on("error", () => undefined);
  const [socket] = (await once(server, "connection")) as [Socket];
  const [hello] = (await once(socket, "data")) as [Buffer];
  client.destroy();
  socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  return hello;
}
