import type { EnvReader } from "../config/index.ts";
import { type IpAddress, ipOf, isLoopback, Port, parseIp } from "../net/index.ts";

/** Where the process's own HTTP servers listen. */
export interface ListenConfig {
  /** Always loopback. */
  readonly adminIp: IpAddress;
  readonly adminPort: number;
  /** Metrics and readiness; absent = wildcard. */
  readonly publicIp?: IpAddress;
  readonly metricsPort: number;
  readonly readinessPort: number;
}

/** With AMBIT_LISTEN_IP set to a loopback address, all three listen there; otherwise admin stays on 127.0.0.1. */
export function readListen(env: EnvReader): ListenConfig {
  const ip = env.parsed<IpAddress | undefined>("AMBIT_LISTEN_IP", undefined, parseIp);
  return {
    adminIp: ip !== undefined && isLoopback(ip) ? ip : ipOf("127.0.0.1"),
    adminPort: Port.ADMIN,
    ...(ip === undefined ? {} : { publicIp: ip }),
    metricsPort: Port.METRICS,
    readinessPort: Port.READINESS,
  };
}
