import type { EnvReader } from "@ambit/shared/config";
import { err, ok, type Result } from "@ambit/shared/errors";

const DEFAULT_SECRET_TTL_MS = 24 * 3_600_000;
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

export interface ControlPlaneConfig {
  readonly xds: ServiceAccess;
  readonly ca: ServiceAccess;
  /** A file (re-read for every request) if it exists, else the token itself. Never logged. */
  readonly authToken: string;
  /** False when the token is only the default file, which may not exist. */
  readonly authTokenGiven: boolean;
  readonly clusterId: string;
  readonly secretTtlMs: number;
  /** PEM or DER file of revoked certificates. */
  readonly crlPath?: string;
  readonly node: NodeIdentity;
}

/** What the xDS node message says of us. */
export interface NodeIdentity {
  readonly instanceIp: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly nodeName: string;
  readonly trustDomain: string;
  /** `ISTIO_META_*`, prefix taken off. */
  readonly meta: Readonly<Record<string, string>>;
  /** `ISTIO_METAJSON_*`, parsed. */
  readonly metaJson: Readonly<Record<string, unknown>>;
}

export function readControlPlane(env: EnvReader): ControlPlaneConfig {
  const inCluster = env.optionalText("KUBERNETES_SERVICE_HOST") !== undefined;
  const fallback = { host: inCluster ? "istiod.istio-system.svc" : "localhost", port: 15012 };
  const token = env.optionalText("AUTH_TOKEN");
  const crlPath = env.optionalText("CRL_PATH");
  return {
    xds: readAccess(env, "XDS", fallback),
    ca: readAccess(env, "CA", fallback),
    authToken: token ?? DEFAULT_TOKEN_FILE,
    authTokenGiven: token !== undefined,
    clusterId: env.optionalText("ISTIO_META_CLUSTER_ID") ?? env.text("CLUSTER_ID", "Kubernetes"),
    secretTtlMs: env.durationMs("SECRET_TTL", DEFAULT_SECRET_TTL_MS),
    ...(crlPath === undefined ? {} : { crlPath }),
    node: readNode(env),
  };
}

function readAccess(env: EnvReader, service: "XDS" | "CA", fallback: Endpoint): ServiceAccess {
  const altHostname = env.optionalText(`ALT_${service}_HOSTNAME`);
  return {
    endpoint: env.parsed(`${service}_ADDRESS`, fallback, parseEndpoint),
    rootCa: env.text(`${service}_ROOT_CA`, DEFAULT_ROOT),
    ...(altHostname === undefined ? {} : { altHostname }),
    headers: lowerCaseKeys(env.prefixed(`${service}_HEADER_`)),
  };
}

function readNode(env: EnvReader): NodeIdentity {
  const metaJson: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(env.prefixed("ISTIO_METAJSON_"))) {
    try {
      metaJson[name] = JSON.parse(text);
    } catch {
      env.reject(`ISTIO_METAJSON_${name}`, text, "expected JSON");
    }
  }
  return {
    instanceIp: env.text("INSTANCE_IP", "1.1.1.1"),
    podName: env.text("POD_NAME", ""),
    podNamespace: env.text("POD_NAMESPACE", ""),
    nodeName: env.text("NODE_NAME", ""),
    trustDomain: env.text("TRUST_DOMAIN", "cluster.local"),
    meta: env.prefixed("ISTIO_META_"),
    metaJson,
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

const lowerCaseKeys = (record: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name.toLowerCase(), value]));
