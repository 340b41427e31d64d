import type { EnvReader } from "../config/index.ts";
import { err, ok, type Result } from "../errors/index.ts";

const DEFAULT_ROOT = "./var/run/secrets/istio/root-cert.pem";
const DEFAULT_TOKEN_FILE = "./var/run/secrets/tokens/istio-token";

/** `https://HOST:PORT` taken apart. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** One gRPC service of the control plane. */
export interface ServiceAccess {
  readonly endpoint: Endpoint;
  /** A path if it exists, the word SYSTEM, or PEM text; looked at when connecting. */
  readonly rootCa: string;
  /** A second DNS name the server certificate may have. */
  readonly altHostname?: string;
  /** Extra gRPC metadata, from `XDS_HEADER_*` or `CA_HEADER_*`. */
  readonly headers: Readonly<Record<string, string>>;
}

/** How a proxy reaches the two services, and as whom. */
export interface AccessConfig {
  readonly xds: ServiceAccess;
  readonly ca: ServiceAccess;
  /** A file (re-read for every request) if it exists, else the token itself. Never logged. */
  readonly authToken: string;
  /** False when the token is only the default file, which may not exist. */
  readonly authTokenGiven: boolean;
}

export function readAccess(env: EnvReader): AccessConfig {
  const inCluster = env.optionalText("KUBERNETES_SERVICE_HOST") !== undefined;
  const fallback = { host: inCluster ? "istiod.istio-system.svc" : "localhost", port: 15012 };
  const token = env.optionalText("AUTH_TOKEN");
  return {
    xds: readService(env, "XDS", fallback),
    ca: readService(env, "CA", fallback),
    authToken: token ?? DEFAULT_TOKEN_FILE,
    authTokenGiven: token !== undefined,
  };
}

function readService(env: EnvReader, service: "XDS" | "CA", fallback: Endpoint): ServiceAccess {
  const altHostname = env.optionalText(`ALT_${service}_HOSTNAME`);
  return {
    endpoint: env.parsed(`${service}_ADDRESS`, fallback, parseEndpoint),
    rootCa: env.text(`${service}_ROOT_CA`, DEFAULT_ROOT),
    ...(altHostname === undefined ? {} : { altHostname }),
    headers: lowerCaseKeys(env.prefixed(`${service}_HEADER_`)),
  };
}

/** `https://host:port`, `host:port` or `host` (port 15012). Only https. */
export function parseEndpoint(text: string): Result<Endpoint> {
  const full = text.includes("://") ? text : `https://${text}`;
  if (!URL.canParse(full)) return err("expected https://HOST:PORT");
  const url = new URL(full);
  const extra = url.pathname !== "/" || url.search !== "" || url.username !== "" || url.hash !== "";
  if (url.protocol !== "https:" || extra || url.hostname === "")
    return err("expected https://HOST:PORT and nothing else");
  const portText = /:(\d+)\/?$/.exec(full)?.[1];
  const port = portText === undefined ? 15012 : Number(portText);
  if (port < 1) return err("expected a port of 1 to 65535");
  return ok({ host: url.hostname.replace(/^\[(.*)\]$/, "$1"), port });
}

/** The same as it may be shown: the token and inline PEM are hidden, headers are named. */
export function redactAccess(access: AccessConfig): Readonly<Record<string, unknown>> {
  return { authToken: "<redacted>", xds: redactService(access.xds), ca: redactService(access.ca) };
}

function redactService(service: ServiceAccess): Readonly<Record<string, unknown>> {
  const rootCa = service.rootCa.includes("-----BEGIN") ? "<PEM text>" : service.rootCa;
  return { ...service, rootCa, headers: Object.keys(service.headers) };
}

const lowerCaseKeys = (record: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name.toLowerCase(), value]));
