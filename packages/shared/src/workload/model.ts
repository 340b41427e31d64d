import type { IpAddress } from "../net/index.ts";

/**
 * The mesh as a node proxy knows it. Every value is plain, frozen-by-convention data that survives structured
 * clone, because the control thread decodes it and the data workers use it.
 *
 * Spec: istio.workload (ztunnel wire tables); defaults (`cluster.local`, `default`, `Kubernetes`, capacity 1) are
 * already applied here, so no reader needs to know them.
 */
export interface Workload {
  /** Primary key, e.g. `Kubernetes//Pod/shop/web-1`. */
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly trustDomain: string;
  readonly addresses: readonly IpAddress[];
  readonly hostname: string;
  readonly network: string;
  readonly networkMode: "Standard" | "HostNetwork";
  readonly protocol: "HBONE" | "TCP";
  readonly nativeTunnel: boolean;
  readonly node: string;
  readonly clusterId: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly workloadName: string;
  readonly workloadType: "deployment" | "cronjob" | "pod" | "job";
  readonly status: "Healthy" | "Unhealthy";
  readonly locality: Locality;
  /** Weight in load balancing; 0 is never picked. */
  readonly capacity: number;
  readonly waypoint?: GatewayAddress;
  readonly networkGateway?: GatewayAddress;
  readonly applicationTunnel?: { readonly protocol: "NONE" | "PROXY"; readonly port?: number };
  /** Keys (`namespace/name`) of selector-scoped policies. */
  readonly authorizationPolicies: readonly string[];
  /** `namespace/hostname` -> ports of that service on this workload. */
  readonly services: Readonly<Record<string, readonly PortMapping[]>>;
}

export interface PortMapping {
  readonly servicePort: number;
  /** 0 = named port: the endpoint's own mapping decides. */
  readonly targetPort: number;
}

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

export interface NetworkAddress {
  readonly network: string;
  readonly address: IpAddress;
}

export interface GatewayAddress {
  readonly destination:
    | { readonly kind: "address"; readonly network: string; readonly address: IpAddress }
    | { readonly kind: "hostname"; readonly namespace: string; readonly hostname: string };
  readonly hboneMtlsPort: number;
}

export type RoutingScope = "Region" | "Zone" | "Subzone" | "Node" | "Cluster" | "Network";

export interface LoadBalancing {
  readonly mode: "Standard" | "Strict" | "Failover" | "Passthrough";
  readonly routingPreferences: readonly RoutingScope[];
  readonly healthPolicy: "OnlyHealthy" | "AllowAll";
}

export interface Service {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  /** Exact VIPs. */
  readonly vips: readonly NetworkAddress[];
  /** VIPs that are prefixes. */
  readonly cidrVips: readonly (NetworkAddress & { readonly prefixLength: number })[];
  readonly ports: readonly PortMapping[];
  readonly subjectAltNames: readonly string[];
  readonly waypoint?: GatewayAddress;
  readonly weightedWaypoints: readonly { readonly destination: GatewayAddress; readonly weight: number }[];
  readonly loadBalancing?: LoadBalancing;
  readonly ipFamilies: "Automatic" | "IPv4" | "IPv6" | "Dual";
  /** The service every namespace means by this hostname, when several claim it. */
  readonly canonical: boolean;
  readonly visibility: "Public" | "Namespace";
}

/** Resource name and key of a service: `namespace/hostname`. */
export const serviceKey = (service: { readonly namespace: string; readonly hostname: string }): string =>
  `${service.namespace}/${service.hostname}`;

/** What one xDS push changes, already decoded. Removals are applied after upserts. */
export interface AddressDelta {
  readonly workloads: readonly Workload[];
  readonly services: readonly Service[];
  /** Resource names: a workload uid or a service key. */
  readonly removed: readonly string[];
}
