/** How a node proxy reaches the control plane: trust roots, token and names, all looked at anew for every use. */
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { checkServerIdentity, getCACertificates, type PeerCertificate } from "node:tls";
import { type ChannelCredentials, type ChannelOptions, credentials, Metadata } from "@grpc/grpc-js";
import { ErrorCode, MeshError } from "../errors/index.ts";

export interface ControlPlaneAccess {
  readonly endpoint: { readonly host: string; readonly port: number };
  /** A path if it exists, the word SYSTEM (the machine's roots), or PEM text. */
  readonly rootCa: string;
  /** A second name the server's certificate may have. */
  readonly altHostname?: string;
  /** Extra metadata of every call. */
  readonly headers: Readonly<Record<string, string>>;
  /** A path if it exists, otherwise the token itself; absent means no authentication. */
  readonly authToken?: string;
  readonly clusterId: string;
}

/** Sent as SNI to a control plane that is addressed by IP, where TLS allows none. */
const DEFAULT_SERVER_NAME = "istiod.istio-system.svc";

/** Parity: ztunnel src/config.rs RootCert. @throws MeshError CA_UNREACHABLE */
export async function loadTrustRoots(rootCa: string): Promise<string> {
  if (rootCa === "SYSTEM") return getCACertificates("system").join("\n");
  const text = (await readIfExists(rootCa)) ?? rootCa;
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  const what = text === rootCa ? `${rootCa.slice(0, 200)} does not exist` : `${rootCa} holds no PEM certificate`;
  throw new MeshError(ErrorCode.CA_UNREACHABLE, `no roots to verify the control plane with: ${what}`, {
    retry: "safe",
  });
}

/** @returns metadata with token, cluster and the extra headers. @throws MeshError CA_UNREACHABLE when the token is empty */
export async function callMetadata(access: ControlPlaneAccess): Promise<Metadata> {
  const metadata = new Metadata();
  if (access.authToken !== undefined) {
    const token = ((await readIfExists(access.authToken)) ?? access.authToken).trim();
    if (token === "") throw new MeshError(ErrorCode.CA_UNREACHABLE, "the token file is empty", { retry: "safe" });
    metadata.set("authorization", `Bearer ${token}`);
    metadata.set("clusterid", access.clusterId);
  }
  for (const [name, value] of Object.entries(access.headers)) metadata.set(name.toLowerCase(), value);
  return metadata;
}

/**
 * Credentials that accept a certificate for the endpoint's host or for the alternative name. Of no use with other
 * channel options than `channelOptions` of the same access.
 */
export function channelCredentials(access: ControlPlaneAccess, rootsPem: string): ChannelCredentials {
  const names = [access.endpoint.host, ...(access.altHostname === undefined ? [] : [access.altHostname])];
  return credentials.createSsl(Buffer.from(rootsPem), null, null, {
    checkServerIdentity(_host: string, certificate: PeerCertificate) {
      const failures = names.map((name) => checkServerIdentity(name, certificate));
      return failures.includes(undefined) ? undefined : failures[0];
    },
  });
}

/** Keepalive as ztunnel's; reconnects after at most 5 s, since callers have a back-off of their own. */
export function channelOptions(access: ControlPlaneAccess): ChannelOptions {
  const { host } = access.endpoint;
  return {
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 5_000,
    // Node refuses an IP as SNI; the name is not what is verified (see `channelCredentials`).
    ...(isIP(host) === 0 ? {} : { "grpc.ssl_target_name_override": access.altHostname ?? DEFAULT_SERVER_NAME }),
  };
}

/** `HOST:PORT` in the form gRPC parses. */
export function channelTarget(access: ControlPlaneAccess): string {
  const { host, port } = access.endpoint;
  return `dns:///${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** The text of a file; undefined when the argument is no path of an existing file. */
async function readIfExists(path: string): Promise<string | undefined> {
  if (path.includes("-----BEGIN") || path.length > 4096) return undefined;
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENAMETOOLONG" || code === "ENOTDIR" || code === "ERR_INVALID_ARG_VALUE")
      return undefined;
    throw new MeshError(ErrorCode.CA_UNREACHABLE, `cannot read ${path}: ${code}`, { cause: error, retry: "safe" });
  }
}
