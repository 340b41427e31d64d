import { type ConfigMistake, deepFreeze, type Env, EnvReader } from "@ambit/shared/config";
import { err, ok, type Result } from "@ambit/shared/errors";
import {
  type AccessConfig,
  type ListenConfig,
  type LoggingConfig,
  readAccess,
  readListen,
  readLogging,
  readShutdown,
  redactAccess,
  type ShutdownConfig,
} from "@ambit/shared/proxy-config";
import { type NodeConfig, readNode } from "./node.ts";
import { readTraffic, type TrafficConfig } from "./traffic.ts";

export type { NodeConfig } from "./node.ts";
export type { LimitsConfig, TimeoutsConfig, TrafficConfig } from "./traffic.ts";

const DEFAULT_SECRET_TTL_MS = 24 * 3_600_000;

/** The configuration of a whole waypoint process, frozen. Every variable is described in docs/configuration.md. */
export interface WaypointConfig {
  readonly node: NodeConfig;
  readonly listen: ListenConfig;
  readonly controlPlane: AccessConfig & {
    /** Life asked for certificates. */
    readonly secretTtlMs: number;
    /** PEM or DER file of revoked certificates. */
    readonly crlPath?: string;
  };
  readonly traffic: TrafficConfig;
  readonly shutdown: ShutdownConfig;
  readonly logging: LoggingConfig;
}

/** Reads the whole configuration from an environment record; all mistakes are reported together. Pure. */
export function parseConfig(env: Env): Result<WaypointConfig, readonly ConfigMistake[]> {
  const reader = new EnvReader(env);
  const config = readAll(reader);
  const mistakes = reader.mistakes();
  return mistakes.length > 0 ? err(mistakes) : ok(deepFreeze(config));
}

/** Every variable the parser looks at, `PREFIX*` for families. */
export function configVariables(): readonly string[] {
  const reader = new EnvReader({});
  readAll(reader);
  return reader.names();
}

function readAll(env: EnvReader): WaypointConfig {
  return {
    node: readNode(env),
    listen: readListen(env),
    controlPlane: readControlPlane(env),
    traffic: readTraffic(env),
    shutdown: readShutdown(env),
    logging: readLogging(env),
  };
}

function readControlPlane(env: EnvReader): WaypointConfig["controlPlane"] {
  const crlPath = env.optionalText("CRL_PATH");
  return {
    ...readAccess(env),
    secretTtlMs: env.durationMs("SECRET_TTL", DEFAULT_SECRET_TTL_MS),
    ...(crlPath === undefined ? {} : { crlPath }),
  };
}

/** The configuration as it may be shown: the token and inline PEM are hidden. */
export function redactConfig(config: WaypointConfig): Readonly<Record<string, unknown>> {
  const { controlPlane } = config;
  return { ...config, controlPlane: { ...controlPlane, ...redactAccess(controlPlane) } };
}
