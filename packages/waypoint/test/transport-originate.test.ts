/** The waypoint's way to an endpoint, over real sockets and TLS. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import { type Baggage, type ConnectRequest, parseConnectRequest } from "@ambit/shared/hbone";
import { createH2Session, defaultH2Options, H2Code, type H2Session } from "@ambit/shared/http2";
import type { SpiffeUri } from "@ambit/shared/identity";
import { ipOf, type SocketAddress } from "@ambit/shared/net";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { createHboneTlsAcceptor, type IdentityMaterial, NO_REVOCATIONS } from "@ambit/shared/tls";
import { TunnelStream } from "@ambit/shared/tunnel";
import { MeshStore, type Workload } from "@ambit/shared/workload";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import type { Endpoint, UpstreamTransport } from "../src/balance/model.ts";
import {
  createOriginator,
  type Origination,
  type Originator,
  type OriginatorInit,
  OWN_CALL,
} from "../src/forward/connect-originate.ts";
import { PeerDirectory } from "../src/forward/peer-directory.ts";
import { TunnelDuplex } from "../src/forward/tunnel-duplex.ts";
import { Cleanup, identityUri, readAll, TestAuthority, tcpServer, WAYPOINT } from "./transport-fixtures.ts";

const CLIENT = ipOf("10.1.0.5");
const PORT = 25_008;
const cleanup = new Cleanup();
let authority: TestAuthority;
let own: IdentityMaterial;
let cart: IdentityMaterial;
let nextIp = 1;

beforeAll(async () => {
  authority = await TestAuthority.create();
  [own, cart] = await Promise.all([authority.issue(WAYPOINT), authority.issue(identityUri("cart"))]);
});
afterEach(() => cleanup.run());

/** An address of loopback that no other test has. */
const freeIp = () => ipOf(`127.${90 + (process.pid % 60)}.${(process.pid >> 6) % 256}.${nextIp++}`);

interface Destination {
  readonly ip: ReturnType<typeof ipOf>;
  readonly requests: ConnectRequest[];
  readonly sessions: H2Session[];
}

/** A destination's proxy: every CONNECT is recorded and served by `serve`; without it each stream is an echo. */
async function destination(
  material: IdentityMaterial = cart,
  serve: (stream: TunnelStream, count: number) => void = echo,
): Promise<Destination> {
  const ip = freeIp();
  const requests: ConnectRequest[] = [];
  const sessions: H2Session[] = [];
  const acceptor = createHboneTlsAcceptor({
    material,
    handshakeTimeoutMs: 15_000,
    revocation: NO_REVOCATIONS,
    onFailure: () => {},
    onSecure: (socket) => {
      const session = createH2Session("server", socket, defaultH2Options, {
        onClose: () => {},
        onRequest: (h2Stream, headers) => {
          const request = parseConnectRequest(headers);
          if (request.ok) requests.push(request.value);
          const stream = new TunnelStream();
          stream.stream = h2Stream;
          serve(stream, requests.length);
          return stream;
        },
      });
      sessions.push(session);
      cleanup.add(() => session.destroy());
    },
  });
  const server = createServer({ pauseOnConnect: true }, (socket) => acceptor.accept(socket)).listen(PORT, ip);
  await once(server, "listening");
  cleanup.add(() => {
    acceptor.close();
    server.close();
  });
  return { ip, requests, sessions };
}

function echo(stream: TunnelStream): void {
  stream.stream.sendHeaders([[":status", "200"]], false);
  const duplex = new TunnelDuplex(stream);
  duplex.on("error", () => {}).pipe(duplex);
}

const answer = (status: number) => (stream: TunnelStream) =>
  stream.stream.sendHeaders([[":status", String(status)]], true);

const store = new MeshStore();
const workload = (name: string, ip: SocketAddress["ip"]): Workload => ({
  uid: `Kubernetes//Pod/shop/${name}`,
  name,
  namespace: "shop",
  serviceAccount: name,
  trustDomain: "cluster.local",
  addresses: [ip],
  hostname: "",
  network: "",
  networkMode: "Standard",
  protocol: "HBONE",
  nativeTunnel: false,
  node: "node1",
  clusterId: "Kubernetes",
  canonicalName: `${name}-app`,
  canonicalRevision: "v1",
  workloadName: name,
  workloadType: "deployment",
  status: "Healthy",
  locality: { region: "", zone: "", subzone: "" },
  capacity: 1,
  authorizationPolicies: [],
  services: {},
});
const know = (...workloads: Workload[]): void => void store.apply({ workloads, services: [], removed: [] });

function originator(extra: Partial<OriginatorInit> = {}): Originator {
  const made = createOriginator({
    clock: systemClock,
    random: systemRandom,
    identity: WAYPOINT,
    material: async () => own,
    directory: new PeerDirectory(store, ""),
    http2: defaultH2Options,
    revocation: NO_REVOCATIONS,
    timeouts: { tcpConnectMs: 15_000, tlsHandshakeMs: 15_000, connectResponseMs: 15_000 },
    pool: { maxStreamsPerSession: 100, idleReleaseMs: 60_000 },
    ownIp: ipOf("10.9.9.9"),
    allowsLoopback: true,
    hbonePort: PORT,
    ...extra,
  });
  cleanup.add(() => made.drain());
  const open = made.open.bind(made);
  made.open = async (permit, origination) => {
    const opened = await open(permit, origination);
    cleanup.add(() => opened.transport.destroy());
    return opened;
  };
  return made;
}

function to(
  ip: SocketAddress["ip"],
  extra: Partial<Origination> & { port?: number; reach?: Endpoint["reach"] } = {},
): Origination {
  const { port = 9080, reach = { kind: "hbone" }, ...rest } = extra;
  const address = { ip, port };
  const endpoint: Endpoint = { key: `${ip}:${port}`, address, weight: 1, health: "healthy", reach, workload: "" };
  const cluster = { connectTimeoutMs: 15_000, transport: { kind: "raw" } as UpstreamTransport };
  return { endpoint, cluster, client: { ip: CLIENT, port: 4242 }, ...rest };
}

const codeOf = (attempt: Promise<unknown>): Promise<unknown> =>
  attempt.then(
    () => "opened",
    ({ code, retry }: { code: string; retry: string }) => `${code} ${retry}`,
  );

async function exchange(transport: Duplex, text: string): Promise<string> {
  transport.end(text);
  return readAll(transport);
}

describe("an HBONE endpoint", () => {
  it("is reached through its own proxy, which hears of the client", async () => {
    const { ip, requests } = await destination();
    know(workload("web", CLIENT), workload("cart", ip));
    const trace = { traceId: "1".repeat(32), spanId: "2".repeat(16) };
    const opened = await originator().open(OWN_CALL, to(ip, { serviceHostname: "cart.shop.svc.cluster.local", trace }));
    expect(opened.peerIdentity).toBe(identityUri("cart"));
    expect(await exchange(opened.transport, "hello")).toBe("hello");
    expect(requests).toMatchObject([
      {
        authorityText: `${ip}:9080`,
        forwarded: { client: `${CLIENT}:4242`, host: "cart.shop.svc.cluster.local" },
        baggage: { workloadName: "web", namespace: "shop", canonicalName: "web-app" } as Baggage,
        trace,
      },
    ]);
  });

  it("shares one session between all clients", async () => {
    const { ip, sessions } = await destination();
    const made = originator();
    await Promise.all(Array.from({ length: 20 }, () => made.open(OWN_CALL, to(ip))));
    await made.open(OWN_CALL, { ...to(ip), client: { ip: ipOf("10.1.0.6"), port: 1 } });
    expect(sessions).toHaveLength(1);
    expect(made.sessions).toBe(1);
  });

  it("goes through another waypoint when the endpoint says so", async () => {
    const { ip, requests } = await destination(await authority.issue(identityUri("other-waypoint")));
    know(workload("other-waypoint", ip));
    const reach = { kind: "hbone", via: { ip, port: PORT } } as const;
    const opened = await originator().open(OWN_CALL, to(ipOf("10.96.0.9"), { reach, port: 80 }));
    expect(opened.peerIdentity).toBe(identityUri("other-waypoint"));
    expect(requests[0]?.authorityText).toBe("10.96.0.9:80");
  });

  it("case 5: refuses a proxy that is not the workload the control plane has at that address", async () => {
    const { ip, requests } = await destination();
    know(workload("payment", ip));
    expect(await codeOf(originator().open(OWN_CALL, to(ip)))).toBe("TLS_PEER_IDENTITY_MISMATCH safe");
    expect(requests).toHaveLength(0);
  });

  it("case 3: takes only our trust domain at an address nobody has told us about", async () => {
    const stranger = await destination(await authority.issue("spiffe://other/ns/shop/sa/cart" as SpiffeUri));
    expect(await codeOf(originator().open(OWN_CALL, to(stranger.ip)))).toMatch(/^(TLS|H2)_\w+ safe$/);
    const known = await destination();
    expect(await codeOf(originator().open(OWN_CALL, to(known.ip)))).toBe("opened");
  });

  it.each([401, 400, 503])("is another's turn when the CONNECT is answered with %i", async (status) => {
    const { ip } = await destination(cart, answer(status));
    const failure = await originator()
      .open(OWN_CALL, to(ip))
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: "HBONE_CONNECT_REFUSED",
      retry: "safe",
      origin: "upstream",
      context: { status },
    });
  });

  it("fails when nobody listens", async () => {
    expect(await codeOf(originator().open(OWN_CALL, to(freeIp())))).toBe("UPSTREAM_CONNECT_FAILED safe");
  });

  it("fails within the cluster's limit when the CONNECT is not answered, and cancels it", async () => {
    const streams: TunnelStream[] = [];
    const { ip } = await destination(cart, (stream) => void streams.push(stream));
    const origination = to(ip);
    const cluster = { ...origination.cluster, connectTimeoutMs: 200 };
    const timeouts = { tcpConnectMs: 15_000, tlsHandshakeMs: 15_000, connectResponseMs: 60_000 };
    expect(await codeOf(originator({ timeouts }).open(OWN_CALL, { ...origination, cluster }))).toBe(
      "UPSTREAM_CONNECT_TIMEOUT safe",
    );
    await eventually("the stream is reset", () => streams[0]?.isClosed);
  });

  it("does not keep what comes after everybody gave up", async () => {
    const streams: TunnelStream[] = [];
    const { ip } = await destination(cart, (stream) => void streams.push(stream));
    const abort = new AbortController();
    const opening = originator().open(OWN_CALL, to(ip, { signal: abort.signal }));
    const [stream] = await eventually("the CONNECT", () => (streams.length > 0 ? streams : undefined));
    abort.abort();
    expect(await codeOf(opening)).toBe("CANCELLED never");
    stream?.stream.sendHeaders([[":status", "200"]], false);
    await eventually("the late tunnel is cancelled", () => stream?.isClosed);
  });

  it("starts nothing for somebody who has left already", async () => {
    const { ip, sessions } = await destination();
    expect(await codeOf(originator().open(OWN_CALL, to(ip, { signal: AbortSignal.abort() })))).toBe("CANCELLED never");
    expect(sessions).toHaveLength(0);
  });

  it("says that no other endpoint would help without a certificate of our own", async () => {
    const { ip } = await destination();
    const material = async (): Promise<IdentityMaterial> => {
      const { MeshError } = await import("@ambit/shared/errors");
      throw new MeshError("IDENTITY_UNAVAILABLE", "no certificate yet");
    };
    expect(await codeOf(originator({ material }).open(OWN_CALL, to(ip)))).toBe("IDENTITY_UNAVAILABLE never");
  });

  it("takes another session when the one it has is going away", async () => {
    const { ip, sessions } = await destination();
    const made = originator();
    await made.open(OWN_CALL, to(ip));
    sessions[0]?.shutdown();
    await eventually("a second session", async () => {
      expect(await exchange((await made.open(OWN_CALL, to(ip))).transport, "again")).toBe("again");
      return sessions.length === 2;
    });
  });

  it("opens nothing after a drain, and lets open tunnels end", async () => {
    const { ip } = await destination();
    const made = originator();
    const { transport } = await made.open(OWN_CALL, to(ip));
    made.drain();
    expect(await codeOf(made.open(OWN_CALL, to(ip)))).toBe("CONNECTION_DRAINED never");
    expect(await exchange(transport, "last words")).toBe("last words");
  });

  it("tells a reset of the application as an error of the stream", async () => {
    const { ip } = await destination(cart, (stream) => {
      stream.stream.sendHeaders([[":status", "200"]], false);
      setTimeout(() => stream.stream.reset(H2Code.CONNECT_ERROR), 20);
    });
    const { transport } = await originator().open(OWN_CALL, to(ip));
    expect(await once(transport, "error")).toMatchObject([{ code: "H2_STREAM_RESET" }]);
  });
});

describe("a plain endpoint", () => {
  const plain = { reach: { kind: "plain" } } as const;

  it("is reached directly, with half-close", async () => {
    const ip = freeIp();
    const { port } = await tcpServer((socket) => void socket.pipe(socket), cleanup, { ip });
    const opened = await originator().open(OWN_CALL, to(ip, { ...plain, port }));
    expect(opened.peerIdentity).toBeUndefined();
    expect(await exchange(opened.transport, "hello")).toBe("hello");
  });

  it("fails when nobody listens, and for somebody who gives up", async () => {
    expect(await codeOf(originator().open(OWN_CALL, to(freeIp(), plain)))).toBe("UPSTREAM_CONNECT_FAILED safe");
    const signal = AbortSignal.abort();
    expect(await codeOf(originator().open(OWN_CALL, to(freeIp(), { ...plain, signal })))).toBe("CANCELLED never");
  });

  it.each(["127.0.0.1", "::1", "0.0.0.0", "::", "10.9.9.9"])("is never the waypoint itself: %s", async (ip) => {
    const made = originator({ allowsLoopback: false });
    expect(await codeOf(made.open(OWN_CALL, to(ipOf(ip), { ...plain, port: 15000 })))).toBe("LOOP_REFUSED never");
    expect(await codeOf(made.open(OWN_CALL, to(ipOf(ip), { port: 15000 })))).toBe("LOOP_REFUSED never");
  });
});

describe("TLS origination", () => {
  async function tlsServer(names: readonly string[], options: TlsOptions = {}) {
    const issued = await authority.issue(identityUri("web"), { uris: [], hosts: [...names] });
    const sockets: TLSSocket[] = [];
    const server = createTlsServer({ key: issued.keyPem, cert: issued.chainPem, ...options }, (socket) => {
      sockets.push(socket);
      socket.on("error", () => {}).pipe(socket);
    });
    server.on("tlsClientError", () => {});
    const ip = freeIp();
    server.listen(0, ip);
    await once(server, "listening");
    cleanup.add(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return { ip, port: (server.address() as AddressInfo).port, sockets };
  }

  type Tls = Extract<UpstreamTransport, { kind: "tls" }>;
  const tls = (extra: Partial<Tls> = {}): Tls => ({
    kind: "tls",
    sni: "api.example.com",
    subjectAltNames: [],
    trustedRoots: authority.rootPem,
    insecureSkipVerify: false,
    alpn: [],
    ...extra,
  });
  const open = (server: { ip: SocketAddress["ip"]; port: number }, transport: Tls, connectTimeoutMs = 15_000) =>
    originator().open(OWN_CALL, {
      ...to(server.ip, { port: server.port, reach: { kind: "plain" } }),
      cluster: { connectTimeoutMs, transport },
    });

  it("asks for the SNI, agrees on ALPN and carries bytes", async () => {
    const server = await tlsServer(["api.example.com"], { ALPNProtocols: ["h2", "http/1.1"] });
    const opened = await open(server, tls({ alpn: ["http/1.1"] }));
    expect(opened.alpnProtocol).toBe("http/1.1");
    const [socket] = await eventually("the server's end", () =>
      server.sockets.length > 0 ? server.sockets : undefined,
    );
    expect((socket as TLSSocket & { servername: string }).servername).toBe("api.example.com");
    expect(await exchange(opened.transport, "hello")).toBe("hello");
  });

  it.each([
    ["the SNI, when no names are given", ["api.example.com"], tls, "opened"],
    ["another name than the SNI", ["www.example.com"], tls, "TLS_PEER_IDENTITY_MISMATCH safe"],
    ["a wildcard certificate", ["*.example.com"], tls, "opened"],
    ["a wildcard certificate, a label deeper", ["*.com"], tls, "TLS_PEER_IDENTITY_MISMATCH safe"],
    ["one of the names", ["b.test"], () => tls({ subjectAltNames: ["a.test", "b.test"] }), "opened"],
    [
      "none of the names, though it has the SNI",
      ["api.example.com"],
      () => tls({ subjectAltNames: ["a.test"] }),
      "TLS_PEER_IDENTITY_MISMATCH safe",
    ],
    ["a name under a wildcard asked for", ["x.a.test"], () => tls({ subjectAltNames: ["*.a.test"] }), "opened"],
    [
      "a name two under a wildcard asked for",
      ["y.x.a.test"],
      () => tls({ subjectAltNames: ["*.a.test"] }),
      "TLS_PEER_IDENTITY_MISMATCH safe",
    ],
    ["an unknown root", ["api.example.com"], () => tls({ trustedRoots: undefined }), "TLS_HANDSHAKE_FAILED safe"],
    [
      "an unknown root, and nobody minds",
      ["www.example.com"],
      () => tls({ trustedRoots: undefined, insecureSkipVerify: true }),
      "opened",
    ],
    [
      "roots that do not parse",
      ["api.example.com"],
      () => tls({ trustedRoots: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n" }),
      "TLS_HANDSHAKE_FAILED safe",
    ],
    ["nothing that names it", ["api.example.com"], () => tls({ sni: "" }), "TLS_PEER_IDENTITY_MISMATCH safe"],
  ])("judges a server with %s", async (_label, names, transport, expected) => {
    expect(await codeOf(open(await tlsServer(names), transport()))).toBe(expected);
  });

  it("gives up at the limit on a server that says nothing", async () => {
    const ip = freeIp();
    const sockets: Socket[] = [];
    const { port } = await tcpServer((socket) => void sockets.push(socket as Socket), cleanup, { ip });
    expect(await codeOf(open({ ip, port }, tls(), 200))).toMatch(/^(UPSTREAM_CONNECT|TLS_HANDSHAKE)_TIMEOUT safe$/);
    sockets[0]?.resume();
    await eventually("the socket is closed", () => sockets[0]?.readableEnded || sockets[0]?.destroyed);
  });

  it("runs inside a tunnel", async () => {
    const server = await tlsServer(["api.example.com"]);
    const { connect } = await import("node:net");
    const { ip } = await destination(cart, (stream) => {
      stream.stream.sendHeaders([[":status", "200"]], false);
      const duplex = new TunnelDuplex(stream);
      const upstream = connect({ host: server.ip, port: server.port, allowHalfOpen: true });
      upstream.on("error", () => {});
      duplex
        .on("error", () => {})
        .pipe(upstream)
        .pipe(duplex);
    });
    const made = originator();
    const cluster = { connectTimeoutMs: 15_000, transport: tls() };
    const opened = await made.open(OWN_CALL, { ...to(ip), cluster });
    expect(opened.peerIdentity).toBe(identityUri("cart"));
    expect(await exchange(opened.transport, "x".repeat(300_000))).toBe("x".repeat(300_000));
  });
});
