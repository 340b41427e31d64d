/** Real TLS over loopback for the HTTP/2 tests. */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from "node:net";
import { connect as connectTls, TLSSocket } from "node:tls";
import { cryptoProvider, PemConverter, X509CertificateGenerator } from "@peculiar/x509";

export interface KeyPair {
  readonly key: string;
  readonly cert: string;
}

/** A self-signed P-256 certificate for "localhost". */
export async function selfSigned(): Promise<KeyPair> {
  cryptoProvider.set(webcrypto as never);
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=localhost",
    notAfter: new Date(Date.now() + 3_600_000),
    keys: keys as never,
    signingAlgorithm: algorithm,
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { key: PemConverter.encode(pkcs8, "PRIVATE KEY"), cert: certificate.toString("pem") };
}

export interface Pair<T> {
  readonly client: T;
  readonly server: T;
  close(): void;
}

/** Two ends of one TCP connection on 127.0.0.1. */
export async function tcpPair(): Promise<Pair<Socket>> {
  const listener = createServer({ noDelay: true }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const accepted = once(listener, "connection") as Promise<[Socket]>;
  const client = connectTcp({ host: "127.0.0.1", port: (listener.address() as AddressInfo).port, noDelay: true });
  const [[server]] = await Promise.all([accepted, once(client, "connect")]);
  listener.close();
  const close = (): void => {
    client.destroy();
    server.destroy();
  };
  return { client, server, close };
}

/** Two ends of one TLS 1.3 connection on 127.0.0.1, handshake done. */
export async function tlsPair(keys: KeyPair): Promise<Pair<TLSSocket>> {
  const tcp = await tcpPair();
  const server = new TLSSocket(tcp.server, { isServer: true, ALPNProtocols: ["h2"], ...keys });
  const client = connectTls({ socket: tcp.client, ALPNProtocols: ["h2"], rejectUnauthorized: false });
  // Node keeps quiet about errors nobody listens for only when somebody listens.
  for (const socket of [server, client, tcp.server, tcp.client]) socket.on("error", () => {});
  await Promise.all([once(client, "secureConnect"), once(server, "secure")]);
  const close = (): void => {
    client.destroy();
    server.destroy();
    tcp.close();
  };
  return { client, server, close };
}
