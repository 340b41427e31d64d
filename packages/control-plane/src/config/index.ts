import { type ConfigMistake, deepFreeze, type Env, EnvReader } from "@ambit/shared/config";
import { err, ok, type Result } from "@ambit/shared/errors";
import { type LevelFilter, parseLevelFilter } from "@ambit/shared/log";
import { type IpAddress, isLoopback, parseIp } from "@ambit/shared/net";
import type { MeshSettings } from "../model/index.ts";

/** Where a server listens. */
export interface ListenAddress {
  readonly ip: IpAddress;
  readonly port: number;
}

/** The configuration of a control-plane process, frozen. Every variable is described in docs/configuration.md. */
export interface ControlPlaneConfig {
  /** Folder of Kubernetes objects. */
  readonly objectsFolder: string;
  readonly listen: ListenAddress;
  readonly admin: ListenAddress;
  /** Key and certificates of the CA are kept here. */
  readonly stateDir: string;
  readonly joinTokensFile: string;
  /** DNS names and addresses the certificate of `listen` has beside the usual ones. */
  readonly serverNames: readonly string[];
  readonly maxCertificateTtlMs: number;
  readonly mesh: MeshSettings;
  readonly logging: { readonly format: "plain" | "json"; readonly levels: LevelFilter };
}

const MAX_TTL_MS = 24 * 3_600_000;
const LONGEST_TTL_MS = 90 * MAX_TTL_MS;

/** Reads the whole configuration from an environment record; all mistakes are reported together. Pure. */
export function parseConfig(env: Env): Result<ControlPlaneConfig, readonly ConfigMistake[]> {
  const reader = new EnvReader(env);
  const config = readAll(reader);
  const mistakes = reader.mistakes();
  return mistakes.length > 0 ? err(mistakes) : ok(deepFreeze(config));
}

/** Every variable the parser looks at. */
export function configVariables(): readonly string[] {
  const reader = new EnvReader({});
  readAll(reader);
  return reader.names();
}

function readAll(env: EnvReader): ControlPlaneConfig {
  return {
    objectsFolder: required(env, "AMBIT_OBJECTS", "folder:DIR, where the objects are", parseObjects),
    listen: env.parsed("AMBIT_LISTEN", { ip: "0.0.0.0" as IpAddress, port: 15012 }, parseListen),
    admin: env.parsed("AMBIT_ADMIN", { ip: "127.0.0.1" as IpAddress, port: 15014 }, parseLoopback),
    stateDir: required(env, "AMBIT_STATE_DIR", "a folder for the CA's key and certificates", ok),
    joinTokensFile: required(env, "AMBIT_JOIN_TOKENS", "a file of the nodes' token digests", ok),
    serverNames: env.parsed("AMBIT_SERVER_NAMES", [], (text) =>
      ok(
        text
          .split(",")
          .map((name) => name.trim())
          .filter(Boolean),
      ),
    ),
    maxCertificateTtlMs: readMaxTtl(env),
    mesh: {
      trustDomain: env.parsed("TRUST_DOMAIN", "cluster.local", parseDnsName),
      clusterId: env.text("CLUSTER_ID", "Kubernetes"),
      clusterDomain: env.parsed("CLUSTER_DOMAIN", "cluster.local", parseDnsName),
      network: env.text("NETWORK", ""),
      rootNamespace: env.parsed("ROOT_NAMESPACE", "istio-system", parseDnsName),
    },
    logging: {
      format: env.oneOf("LOG_FORMAT", ["plain", "json"], "plain"),
      levels: env.parsed("LOG_LEVEL", { fallback: "info", scopes: {} } as LevelFilter, (text) =>
        parseLevelFilter(text),
      ),
    },
  };
}

function required(env: EnvReader, name: string, what: string, parse: (text: string) => Result<string>): string {
  if (env.optionalText(name) === undefined) env.reject(name, "", `required: ${what}`);
  return env.parsed(name, "", parse);
}

function parseObjects(text: string): Result<string> {
  const folder = /^folder:(.+)$/.exec(text)?.[1];
  return folder === undefined ? err("expected folder:DIR") : ok(folder);
}

/** `IP:PORT`, an IPv6 address in brackets; port 0 is any free one, which the log then names. */
function parseListen(text: string): Result<ListenAddress> {
  const [, bracketed, plain, portText = ""] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const ip = parseIp(bracketed ?? plain ?? "");
  const port = Number(portText);
  return ip.ok && portText !== "" && port <= 65535 ? ok({ ip: ip.value, port }) : err("expected IP:PORT");
}

function parseLoopback(text: string): Result<ListenAddress> {
  const parsed = parseListen(text);
  if (parsed.ok && !isLoopback(parsed.value.ip))
    return err("expected a loopback address: this port has no authentication");
  return parsed;
}

const parseDnsName = (text: string): Result<string> =>
  /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(text) ? ok(text) : err("expected a DNS name in lower case");

function readMaxTtl(env: EnvReader): number {
  const ttlMs = env.durationMs("AMBIT_MAX_CERT_TTL", MAX_TTL_MS);
  if (ttlMs < 1_000 || ttlMs > LONGEST_TTL_MS) env.reject("AMBIT_MAX_CERT_TTL", `${ttlMs}ms`, "expected 1s to 2160h");
  return ttlMs;
}
