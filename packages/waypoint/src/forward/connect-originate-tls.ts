/** TLS of the waypoint's own towards servers outside the mesh, as a DestinationRule asks for it. */
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import {
  connect,
  createSecureContext,
  getCACertificates,
  type PeerCertificate,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import type { UpstreamTransport } from "../balance/model.ts";

export type UpstreamTls = Extract<UpstreamTransport, { kind: "tls" }>;

export interface TlsOriginate {
  /** Owned from here; destroyed on failure. */
  readonly transport: Duplex;
  readonly tls: UpstreamTls;
  /** What the server must prove to be when neither names nor SNI say it: the endpoint's hostname or address. */
  readonly address: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

export interface SecureTransport {
  readonly transport: Duplex;
  /** What both agreed to; undefined when the server chose nothing. */
  readonly alpnProtocol: string | undefined;
}

/**
 * Rejects with TLS_HANDSHAKE_FAILED, TLS_HANDSHAKE_TIMEOUT, TLS_PEER_IDENTITY_MISMATCH (all retry safe) or CANCELLED.
 *
 * Differs: without names in the configuration Envoy takes any certificate of a trusted root; here the server must be
 * what the SNI says, or the address that was dialled.
 */
export function originateTls(init: TlsOriginate): Promise<SecureTransport> {
  const { transport, signal } = init;
  transport.on("error", ignore);
  return new Promise((resolve, reject) => {
    let verdict: MeshError | undefined;
    let socket: TLSSocket;
    try {
      socket = startHandshake(init, (error) => {
        verdict = error;
      });
    } catch (error) {
      transport.destroy();
      reject(handshakeFailed(error instanceof Error ? error.message : String(error), error));
      return;
    }
    const leave = (): void => {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
      socket.off("error", onError).off("close", onClose).off("secureConnect", onSecure);
    };
    const fail = (error: MeshError): void => {
      leave();
      socket.destroy();
      transport.destroy();
      reject(error);
    };
    const onError = (error: Error): void => fail(verdict ?? handshakeFailed(error.message, error));
    const onClose = (): void => fail(verdict ?? handshakeFailed("the server closed the connection"));
    const onAbort = (): void => fail(new MeshError(ErrorCode.CANCELLED, "nobody waits for the connection any more"));
    const onSecure = (): void => {
      leave();
      socket.allowHalfOpen = true;
      resolve({ transport: socket, alpnProtocol: socket.alpnProtocol || undefined });
    };
    const cancelTimer = init.clock.after(init.timeoutMs, () => fail(timedOut(init.timeoutMs)));
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.on("error", onError).on("close", onClose).on("secureConnect", onSecure);
    if (signal?.aborted === true) onAbort();
  });
}

/** @throws what node says of roots that do not parse */
function startHandshake(init: TlsOriginate, onVerdict: (verdict: MeshError | undefined) => void): TLSSocket {
  const { transport, tls } = init;
  if (tls.missingSecret !== undefined) {
    throw new Error(`the secret ${tls.missingSecret} has not come from the control plane`);
  }
  const socket = connect({
    socket: transport,
    secureContext: contextOf(tls),
    servername: serverName(init),
    ...(tls.alpn.length > 0 ? { ALPNProtocols: [...tls.alpn] } : {}),
    rejectUnauthorized: !tls.insecureSkipVerify,
    checkServerIdentity: (_host, certificate) => {
      const verdict = tls.insecureSkipVerify ? undefined : judge(expectedNames(init), certificate);
      onVerdict(verdict);
      return verdict;
    },
  });
  return socket.on("error", ignore);
}

/** RFC 6066: names only, never addresses. */
function serverName({ tls, address }: TlsOriginate): string {
  const name = tls.sni || address;
  return isIP(name) === 0 ? name : "";
}

const contexts = new WeakMap<UpstreamTls, SecureContext>();

/** Made once per configuration value: about a millisecond with a small bundle of roots, many with the system's. */
function contextOf(tls: UpstreamTls): SecureContext {
  const known = contexts.get(tls);
  if (known !== undefined) return known;
  const { trustedRoots, revocationList, clientCertificate } = tls;
  const ca = trustedRoots ?? systemRoots();
  const context = createSecureContext({
    ...(ca === undefined ? {} : { ca }),
    ...(revocationList === undefined ? {} : { crl: revocationList }),
    ...(clientCertificate && { cert: clientCertificate.chain, key: clientCertificate.privateKey }),
    minVersion: "TLSv1.2",
  });
  contexts.set(tls, context);
  return context;
}

/** Those of the machine, or where it has none (a bare image) those that Node brings: undefined. */
function systemRoots(): string[] | undefined {
  const roots = getCACertificates("system");
  return roots.length > 0 ? roots : undefined;
}

function expectedNames({ tls, address }: TlsOriginate): readonly string[] {
  if (tls.subjectAltNames.length > 0) return tls.subjectAltNames;
  return [tls.sni === "" ? address : tls.sni];
}

function judge(expected: readonly string[], certificate: PeerCertificate): MeshError | undefined {
  const presented = presentedNames(certificate.subjectaltname ?? "");
  if (expected.some((name) => presented.some((altName) => namesMatch(name, altName)))) return undefined;
  const got = presented.slice(0, 3).join(", ") || "no name";
  const message = `expected a server certificate for ${expected.slice(0, 3).join(" or ")}, got ${got}`;
  return new MeshError(ErrorCode.TLS_PEER_IDENTITY_MISMATCH, message, { origin: "upstream", retry: "safe" });
}

/** One entry of node's text form. A value with a separator or control character in it comes as a JSON string. */
const ALT_NAME = /(DNS|IP Address|URI|[^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;
const NAMING = new Set(["DNS", "IP Address", "URI"]);

/** The values that name a server. What does not parse ends the list: nothing behind it counts. */
export function presentedNames(subjectAltName: string): readonly string[] {
  const names: string[] = [];
  ALT_NAME.lastIndex = 0;
  for (let entry = ALT_NAME.exec(subjectAltName); entry !== null; entry = ALT_NAME.exec(subjectAltName)) {
    const [, kind = "", value = ""] = entry;
    if (NAMING.has(kind) && value !== "" && !value.startsWith('"')) names.push(value);
    if (ALT_NAME.lastIndex >= subjectAltName.length) break;
  }
  return names;
}

/**
 * Whether a name asked for and a name of the certificate are the same: either may have `*` as its whole first label,
 * which stands for exactly one. Spec: RFC 9525 section 6.3. The certificate's common name is never looked at.
 */
export function namesMatch(expected: string, presented: string): boolean {
  if (expected.includes("://") || presented.includes("://")) return expected === presented;
  const [a, b] = [normalName(expected), normalName(presented)];
  if (a === b) return a !== "";
  return wildcardCovers(a, b) || wildcardCovers(b, a);
}

function wildcardCovers(pattern: string, name: string): boolean {
  if (!pattern.startsWith("*.") || isIP(name) !== 0) return false;
  const dot = name.indexOf(".");
  const suffix = pattern.slice(1);
  // A wildcard for a whole top-level domain is nobody's.
  return dot > 0 && suffix.indexOf(".", 1) > 0 && name.slice(dot) === suffix && !name.startsWith("*");
}

const normalName = (name: string): string => name.toLowerCase().replace(/\.$/, "");

function handshakeFailed(reason: string, cause?: unknown): MeshError {
  return new MeshError(ErrorCode.TLS_HANDSHAKE_FAILED, `TLS with the upstream failed: ${reason}`, {
    origin: "upstream",
    retry: "safe",
    ...(cause === undefined ? {} : { cause }),
  });
}

function timedOut(timeoutMs: number): MeshError {
  return new MeshError(ErrorCode.TLS_HANDSHAKE_TIMEOUT, `no TLS with the upstream within ${timeoutMs} ms`, {
    origin: "upstream",
    retry: "safe",
  });
}

function ignore(): void {}
