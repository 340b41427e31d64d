/** A mesh for the tests of tunnels: an authority, the waypoint's terminator, and peers by hand. Real sockets, real TLS. */
import { createPublicKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import type { Duplex } from "node:stream";
import { MeshError } from "@ambit/shared/errors";
import { buildConnectRequest, emptyBaggage, newTraceContext } from "@ambit/shared/hbone";
import { createH2Session, defaultH2Options, type H2Session, type HeaderList } from "@ambit/shared/http2";
import type { SpiffeUri } from "@ambit/shared/identity";
import { type IpAddress, ipOf, type SocketAddress } from "@ambit/shared/net";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { dialHboneTls, type IdentityMaterial, identityContext, NO_REVOCATIONS } from "@ambit/shared/tls";
import { TunnelStream } from "@ambit/shared/tunnel";
import {
  type CertificateWishes,
  createKeyPair,
  createRoot,
  exportPrivateKeyPem,
  readSigner,
  type Signer,
  signCertificate,
} from "@ambit/shared/x509";
import { ConnectTerminator, type ConnectTerminatorInit } from "../src/terminate/index.ts";

const HOUR_MS = 3_600_000;

export const identityUri = (name: string, trustDomain = "cluster.local"): SpiffeUri =>
  `spiffe://${trustDomain}/ns/shop/sa/${name}` as SpiffeUri;

export const WAYPOINT = identityUri("waypoint");

export class TestAuthority {
  readonly #signer: Signer;
  readonly rootPem: string;

  constructor(signer: Signer) {
    this.#signer = signer;
    this.rootPem = signer.certificatePem;
  }

  static async create(): Promise<TestAuthority> {
    const now = Date.now();
    const root = await createRoot({ organization: "test", notBefore: now - HOUR_MS, notAfter: now + HOUR_MS });
    return new TestAuthority(await readSigner(root.certPem, root.keyPem));
  }

  async issue(identity: SpiffeUri, overrides: Partial<CertificateWishes> = {}): Promise<IdentityMaterial> {
    const keyPem = await exportPrivateKeyPem((await createKeyPair()).privateKey);
    const wishes: CertificateWishes = {
      publicKey: createPublicKey(keyPem),
      uris: [identity],
      purposes: ["client", "server"],
      notBefore: Date.now() - HOUR_MS,
      notAfter: Date.now() + HOUR_MS,
      ...overrides,
    };
    const chainPem = await signCertificate(this.#signer, wishes);
    return { identity, keyPem, chainPem, rootsPem: this.rootPem, notAfter: wishes.notAfter };
  }
}

/** A DER list of revoked certificates with one entry. Nobody checks its signature, so it has none. */
export function revocationListOf({ chainPem }: IdentityMaterial): Buffer {
  const sequence = (...parts: readonly Buffer[]): Buffer => {
    const content = Buffer.concat(parts);
    return Buffer.concat([Buffer.from([0x30, 0x81, content.length]), content]);
  };
  const date = Buffer.from("\x17\x0d261123000000Z");
  const algorithm = sequence(Buffer.from("06082a8648ce3d040302", "hex"));
  const issuer = sequence(Buffer.from("310d300b060355040a130474657374", "hex"));
  const serial = Buffer.from(`00${new X509Certificate(chainPem).serialNumber}`, "hex");
  const entry = sequence(Buffer.from([0x02, serial.length]), serial, date);
  return sequence(sequence(algorithm, issuer, date, sequence(entry)));
}

export const terminatorDefaults = {
  clock: systemClock,
  http2: { ...defaultH2Options, streamWindowBytes: 256 * 1024 },
  handshakeTimeoutMs: 15_000,
  maxSessionsPerPeer: 100,
  sessionIdleMs: 300_000,
  maxSessions: 1_000,
  maxTunnels: 1_000,
  revocation: NO_REVOCATIONS,
};

/** Things to end when a test is over, last first. */
export class Cleanup {
  readonly #tasks: (() => void)[] = [];

  add(task: () => void): void {
    this.#tasks.push(task);
  }

  run(): void {
    for (const task of this.#tasks.splice(0).reverse()) task();
  }
}

export async function startTerminator(
  init: Pick<ConnectTerminatorInit, "material" | "onTunnel"> & Partial<ConnectTerminatorInit>,
  cleanup: Cleanup,
  ip: IpAddress = ipOf("127.0.0.1"),
): Promise<{ terminator: ConnectTerminator; address: SocketAddress }> {
  const terminator = new ConnectTerminator({ ...terminatorDefaults, onRefused: () => {}, ...init });
  const address = await terminator.listen(ip, 0);
  cleanup.add(() => terminator.destroy(new MeshError("CONNECTION_DRAINED", "test over")));
  return { terminator, address };
}

/** The client's side of a tunnel. */
export class ClientTunnel {
  readonly stream: TunnelStream;
  readonly answer: Promise<number>;
  answered = false;

  constructor(session: H2Session, headers: HeaderList) {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.answer = promise;
    promise.catch(() => {});
    this.stream = new TunnelStream(
      (fields) => {
        this.answered = true;
        resolve(Number(fields.find(([name]) => name === ":status")?.[1]));
      },
      (error) => reject(error ?? new Error("closed without an answer")),
    );
    this.stream.stream = session.request(headers, false, this.stream);
  }
}

export interface Peer {
  readonly session: H2Session;
  /** The session is over. */
  readonly closed: Promise<unknown>;
  open(authority: string, extra?: HeaderList): ClientTunnel;
  request(headers: HeaderList): ClientTunnel;
}

/** A node proxy with the certificate of one of its pods. */
export async function dialPeer(
  address: SocketAddress,
  material: IdentityMaterial,
  cleanup: Cleanup,
  localAddress = "127.0.0.1",
): Promise<Peer> {
  const raw = connect({ host: address.ip, port: address.port, localAddress });
  raw.on("error", () => {});
  await once(raw, "connect");
  const { socket } = await dialHboneTls({
    socket: raw,
    context: identityContext(material),
    expected: [WAYPOINT],
    handshakeTimeoutMs: 15_000,
    revocation: NO_REVOCATIONS,
  });
  const { promise: closed, resolve: onClose } = Promise.withResolvers<unknown>();
  const session = createH2Session("client", socket, defaultH2Options, { onClose });
  cleanup.add(() => session.destroy());
  const request = (headers: HeaderList): ClientTunnel => new ClientTunnel(session, headers);
  return {
    session,
    closed,
    request,
    open: (authority, extra = []) =>
      request([
        ...buildConnectRequest({
          authority,
          baggage: emptyBaggage,
          forwarded: 'for="10.0.0.9:4242";host=cart.shop.svc.cluster.local',
          trace: newTraceContext(systemRandom),
        }),
        ...extra,
      ]),
  };
}

/** A TCP server on a free port of loopback. */
export async function tcpServer(
  onConnection: (socket: Duplex) => void,
  cleanup: Cleanup,
  at: { readonly ip?: string; readonly port?: number } = {},
): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    cleanup.add(() => socket.destroy());
    onConnection(socket);
  });
  server.listen(at.port ?? 0, at.ip ?? "127.0.0.1");
  await once(server, "listening");
  cleanup.add(() => server.close());
  return { server, port: (server.address() as AddressInfo).port };
}

/** Everything until the end of input. */
export async function readAll(stream: Duplex): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
