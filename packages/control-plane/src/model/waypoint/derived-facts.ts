/** What units tell one another on the way to a waypoint's configuration. */
import type { FilterChain } from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import type { Labels, ObjectKey } from "@ambit/shared/kube";
import type { IpAddress } from "@ambit/shared/net";
import type { Locality, PortMapping, RoutingScope } from "@ambit/shared/workload";

/** How bytes on a service port are to be read. `undeclared`: by looking at them. */
export type PortProtocol = "http" | "http2" | "grpc" | "grpc-web" | "tcp" | "tls" | "undeclared";

export interface FrontPort {
  readonly name: string;
  readonly port: number;
  /** A name is looked up on each workload. */
  readonly target: number | string;
  readonly protocol: PortProtocol;
}

/** A Service, or one host of a ServiceEntry, as waypoints see it. */
export interface ServiceFront {
  /** `namespace/hostname` */
  readonly key: string;
  readonly object: ObjectKey;
  readonly kind: "Service" | "ServiceEntry";
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly vips: readonly IpAddress[];
  readonly ports: readonly FrontPort[];
  /** `namespace/name` of the Gateways that serve it: the one it is bound to, and perhaps a canary. */
  readonly gateways: readonly string[];
  readonly discovery: "eds" | "strict-dns" | "logical-dns" | "original-destination" | "dynamic-dns";
  readonly meshExternal: boolean;
  /** Whether workloads that are not ready get traffic all the same. */
  readonly includesUnready: boolean;
  readonly locality: LocalityPreference;
  /** Whether other namespaces mean this one by the hostname. */
  readonly canonical: boolean;
}

export interface LocalityPreference {
  /** `strict`: no traffic beyond what matches all scopes. */
  readonly mode: "any" | "failover" | "strict";
  readonly scopes: readonly RoutingScope[];
}

/** One workload behind a service. */
export interface ServiceMember {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly IpAddress[];
  /** A DNS name, when there is no address. */
  readonly hostname: string;
  readonly ports: readonly PortMapping[];
  readonly labels: Labels;
  readonly hbone: boolean;
  /** Its address is what the cluster gave it, not what somebody wrote down. */
  readonly isPod: boolean;
  readonly healthy: boolean;
  readonly node: string;
  readonly locality: Locality;
  readonly network: string;
  readonly weight: number;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly clusterId: string;
  /** Further endpoints of the same service that one object stands for. */
  readonly siblings?: readonly ServiceMember[];
}

/** Who alone may open connections to the workloads of a service. */
export interface WaypointRequirement {
  /** `namespace/hostname` of the service. */
  readonly service: string;
  /** Policy that says so. */
  readonly policy: string;
  /** `TD/ns/NS/sa/SA`, sorted; empty: nobody, because the waypoint is not there. */
  readonly principals: readonly string[];
}

/** The chains of one service port, and where they are found in the matcher tree. */
export interface ChainFact {
  readonly service: string;
  readonly port: number;
  readonly vips: readonly IpAddress[];
  readonly http?: FilterChain;
  readonly tcp?: FilterChain;
  /** In place of `tcp` for peers whose SPIFFE ID begins with one of the prefixes. */
  readonly consumers?: readonly { readonly prefixes: readonly string[]; readonly tcp: FilterChain }[];
  /** The port carries TLS whose server name a chain wants to see. */
  readonly inspectsTls: boolean;
}
