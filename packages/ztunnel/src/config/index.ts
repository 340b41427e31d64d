import { type ConfigMistake, deepFreeze, type Env, EnvReader } from "@ambit/shared/config";
import { err, ok, type Result } from "@ambit/shared/errors";
import {
  type ListenConfig,
  type LoggingConfig,
  readHttp2,
  readListen,
  readLogging,
  readPool,
  readShutdown,
  redactAccess,
  type ShutdownConfig,
} from "@ambit/shared/proxy-config";
import { type ControlPlaneConfig, readControlPlane } from "./control-plane.ts";
import { readDns } from "./dns.ts";
import { type EnrolmentConfig, readEnrolment } from "./enrolment.ts";
import { readLimits, readWorkers, type WorkersConfig } from "./limits.ts";
import { readSockets, readTimeouts } from "./sockets.ts";
import { rejectUnsupported } from "./unsupported.ts";

const MIB = 1024 * 1024;
const HTTP2_DEFAULTS = { streamWindowBytes: 4 * MIB, connectionWindowBytes: 16 * MIB, frameBytes: MIB };

/** The part of the configuration a data worker needs. Plain data: it crosses the thread boundary. */
export interface DataPlaneConfig {
  /** `NETWORK`: the network this node is on; compared with xDS. */
  readonly network: string;
  readonly nodeName: string;
  readonly clusterId: string;
  readonly clusterDomain: string;
  /** "netns": sockets are made in pods' netns with marks and transparent binds. "explicit": loopback, SOCKS5, no privileges. */
  readonly capture: "netns" | "explicit";
  readonly preserveSourceIp: boolean;
  readonly http2: {
    readonly streamWindowBytes: number;
    readonly connectionWindowBytes: number;
    readonly frameBytes: number;
  };
  readonly pool: { readonly maxStreamsPerSession: number; readonly idleReleaseMs: number };
  readonly timeouts: {
    readonly tcpConnectMs: number;
    readonly tlsHandshakeMs: number;
    readonly sessionIdleMs: number;
    readonly connectResponseMs: number;
    readonly ownWorkloadMs: number;
  };
  readonly limits: {
    /** Live connections one pod may hold, both directions together. */
    readonly connectionsPerPod: number;
    readonly hboneSessionsPerPeer: number;
  };
  readonly dns: { readonly enabled: boolean; readonly upstreams: readonly string[]; readonly ttlSeconds: number };
  readonly trustResponseBaggage: boolean;
}

/** The configuration of a whole ztunnel process, frozen. Every variable is described in docs/configuration.md. */
export interface ZtunnelConfig {
  readonly listen: ListenConfig;
  readonly controlPlane: ControlPlaneConfig;
  readonly enrolment: EnrolmentConfig;
  readonly workers: WorkersConfig;
  readonly shutdown: ShutdownConfig;
  readonly logging: LoggingConfig;
  /** What each data worker gets. */
  readonly dataPlane: DataPlaneConfig;
}

/** What the parser may know of the machine. */
export interface MachineFacts {
  readonly cpus: number;
}

/** Reads the whole configuration from an environment record; all mistakes are reported together. Pure. */
export function parseConfig(env: Env, facts: MachineFacts): Result<ZtunnelConfig, readonly ConfigMistake[]> {
  const reader = new EnvReader(env);
  const config = readAll(reader, facts);
  const mistakes = reader.mistakes();
  return mistakes.length > 0 ? err(mistakes) : ok(deepFreeze(config));
}

/** Every variable the parser looks at, `PREFIX*` for families. */
export function configVariables(): readonly string[] {
  const reader = new EnvReader({});
  readAll(reader, { cpus: 1 });
  return reader.names();
}

function readAll(reader: EnvReader, facts: MachineFacts): ZtunnelConfig {
  const controlPlane = readControlPlane(reader);
  const enrolment = readEnrolment(reader);
  rejectUnsupported(reader);
  return {
    listen: readListen(reader),
    controlPlane,
    enrolment,
    workers: readWorkers(reader, facts.cpus),
    shutdown: readShutdown(reader),
    logging: readLogging(reader),
    dataPlane: {
      network: reader.text("NETWORK", ""),
      nodeName: enrolment.nodeName,
      clusterId: controlPlane.clusterId,
      clusterDomain: reader.text("CLUSTER_DOMAIN", "cluster.local"),
      ...readSockets(reader),
      http2: readHttp2(reader, HTTP2_DEFAULTS),
      pool: readPool(reader),
      timeouts: readTimeouts(reader),
      limits: readLimits(reader),
      dns: readDns(reader),
    },
  };
}

/** The configuration as it may be shown: the token and inline PEM are hidden. */
export function redactConfig(config: ZtunnelConfig): Readonly<Record<string, unknown>> {
  const { controlPlane } = config;
  return { ...config, controlPlane: { ...controlPlane, ...redactAccess(controlPlane) } };
}
