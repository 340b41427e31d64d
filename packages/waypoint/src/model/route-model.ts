/**
 * What one waypoint knows, compiled from xDS: immutable, and swapped whole. A request keeps the model it started with.
 * `xds/` makes it, every stage of the pipeline reads its own part of it. Pure data and matchers; no I/O.
 */
import type { IpAddress } from "@ambit/shared/net";
import type { JwtAuthentication } from "../authenticate/model.ts";
import type { Cluster } from "../balance/model.ts";
import type { AccessLogging, TelemetryConfig, Tracing } from "../observe/model.ts";
import type { ProxyHeaders } from "../observe/proxy-headers.ts";
import type { HttpAuthorization, TcpAuthorization } from "../policy/model.ts";
import type { RouteTable } from "../route/model.ts";

export interface RouteModel {
  /** Counts up; shown in the config dump and in the access log's detail. */
  readonly generation: number;
  /** The chain of what a tunnel was opened to. @param peer  SPIFFE ID of who opened it; absent: nobody in particular */
  findChains(destination: TunnelDestination, peer?: string): Chains | undefined;
  readonly clusters: ReadonlyMap<string, Cluster>;
  /** All chains by name, for the config dump. */
  readonly chains: ReadonlyMap<string, HttpChain | TcpChain>;
}

/** `:authority` of the CONNECT, in its normal form (IPv4-mapped unwrapped, hostnames in lower case). */
export type TunnelDestination =
  | { readonly kind: "address"; readonly ip: IpAddress; readonly port: number }
  | { readonly kind: "hostname"; readonly hostname: string; readonly port: number };

/** Both: the port's protocol is undeclared and decided by the first bytes. */
export interface Chains {
  readonly http?: HttpChain;
  readonly tcp?: TcpChain;
}

/** The service a chain serves; absent for the chains of attached workloads. */
export interface ServicePort {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly port: number;
}

interface ChainBase {
  /** Envoy's filter chain name, e.g. `inbound-vip|80|http|cart.shop.svc.cluster.local`. */
  readonly name: string;
  readonly service: ServicePort | undefined;
  /**
   * Why this chain cannot be served: a filter that guards something and that we cannot enforce. Every request is
   * refused with it, and the resource was NACKed with it.
   */
  readonly unservable?: string;
  readonly accessLog: AccessLogging;
  readonly telemetry: TelemetryConfig;
}

export interface HttpChain extends ChainBase {
  readonly kind: "http";
  readonly path: PathRules;
  /** 0 = none. */
  readonly streamIdleTimeoutMs: number;
  readonly acceptsHttp10: boolean;
  /** Upgrades that may pass, lower case. */
  readonly upgrades: readonly string[];
  readonly forwardedClientCert: "sanitize" | "replace-with-peer" | "forward";
  /** Default: `DEFAULT_PROXY_HEADERS`. */
  readonly proxyHeaders?: ProxyHeaders;
  /** So many proxies before us may be believed in X-Forwarded-For; undefined and 0 = none. */
  readonly trustedHops?: number;
  /** Calls of gRPC-Web become gRPC. */
  readonly translatesGrpcWeb?: boolean;
  readonly authentication: JwtAuthentication | undefined;
  readonly authorization: HttpAuthorization;
  readonly routes: RouteTable;
  readonly tracing: Tracing | undefined;
}

export interface TcpChain extends ChainBase {
  readonly kind: "tcp";
  readonly authorization: TcpAuthorization;
  /** Weights add up to more than 0. */
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  /** 0 = none. */
  readonly idleTimeoutMs: number;
  readonly maxConnectionMs: number;
  readonly hashesSourceIp: boolean;
}

/** The normal form of a path, applied once, before routing, policy and forwarding alike. */
export interface PathRules {
  /** Spec: Istio MeshConfig.pathNormalization */
  readonly normalization: "none" | "base" | "merge-slashes" | "decode-and-merge-slashes";
  readonly escapedSlashes: "keep" | "reject" | "unescape-and-forward";
}
