import type { KubeObject, Labels, ObjectKey } from "@ambit/shared/kube";
import type { IpAddress } from "@ambit/shared/net";
import type { Locality } from "@ambit/shared/workload";
import type { FactKey } from "./fact-store.ts";
import type { ChainFact, ServiceFront, ServiceMember, WaypointRequirement } from "./waypoint/derived-facts.ts";
import type { Attachment, MeshConfigFact, RouteParent } from "./waypoint/object-facts.ts";

/** The questions compilers ask, and what answers them. An answer holds only what its readers need: less changes, less is compiled again. */
export const fact = {
  /** The object a unit compiles, without what its compiler does not look at. */
  own: (key: ObjectKey): FactKey<KubeObject> => `own|${key}`,
  namespace: (name: string): FactKey<NamespaceFact> => `namespace|${name}`,
  localityOfNode: (node: string): FactKey<Locality> => `locality|${node}`,
  /** The cluster's network, from the root namespace. */
  network: (): FactKey<string> => "network",
  /** Everything in the namespace whose selector asks for this label first (in key order). */
  selecting: (namespace: string, label: string, value: string): FactKey<Selecting> =>
    `selecting|${namespace}|${label}=${value}`,
  /** EndpointSlice endpoints that name this pod. */
  targeting: (namespace: string, pod: string): FactKey<TargetFact> => `targeting|${namespace}|${pod}`,
  service: (namespace: string, name: string): FactKey<ServiceFact> => `service|${namespace}|${name}`,
  gateway: (namespace: string, name: string): FactKey<GatewayFact> => `gateway|${namespace}|${name}`,
  /** Gateways of a class, `namespace/name`. */
  gatewaysOfClass: (name: string): FactKey<string> => `gatewaysofclass|${name}`,
  gatewayClass: (name: string): FactKey<GatewayClassFact> => `gatewayclass|${name}`,
  networkGateway: (network: string): FactKey<NetworkGatewayFact> => `networkgateway|${network}`,
  /** Everybody who says to be this hostname. */
  hostClaims: (hostname: string): FactKey<HostClaim> => `host|${hostname}`,
  /** Peer authentications without a selector, of one namespace. */
  peerAuthentications: (namespace: string): FactKey<PeerAuthenticationFact> => `peerauthentication|${namespace}`,
  /** One answer for each PeerAuthentication there is. */
  anyPeerAuthentication: (): FactKey<true> => "peerauthentication",
  /** Routes whose parent is this object: `Service`, `ServiceEntry`; VirtualServices by host, as `Host`. */
  routesOf: (parent: RouteParent, namespace: string, name: string): FactKey<KubeObject> =>
    `routes|${parent}|${namespace}|${name}`,
  /** Policies attached to an object by `targetRefs`. */
  attachedTo: (kind: Attachment, namespace: string, name: string): FactKey<KubeObject> =>
    `attached|${kind}|${namespace}|${name}`,
  /** DestinationRules by host, as written but fully qualified. */
  destinationRules: (host: string): FactKey<KubeObject> => `destinationrule|${host}`,
  /** Telemetry of a whole namespace. */
  telemetryOf: (namespace: string): FactKey<KubeObject> => `telemetry|${namespace}`,
  referenceGrants: (namespace: string): FactKey<KubeObject> => `referencegrant|${namespace}`,
  /** Roots (PEM) in a Secret or ConfigMap under `ca.crt`. */
  /** Certificate and key that clients of other meshes and of servers outside prove themselves with. */
  clientCertificate: (namespace: string, name: string): FactKey<ClientCertificateFact> =>
    `clientcertificate|${namespace}|${name}`,
  /** PEM of revocation lists, beside the roots of the same name. */
  revocationList: (namespace: string, name: string): FactKey<string> => `revocationlist|${namespace}|${name}`,
  caBundle: (namespace: string, name: string): FactKey<string> => `cabundle|${namespace}|${name}`,
  /** Istio's MeshConfig, from the root namespace. */
  meshConfig: (): FactKey<MeshConfigFact> => "meshconfig",

  // Derived: answered by units, not by objects.
  /** A service in full; key is `namespace/hostname`. */
  front: (key: string): FactKey<ServiceFront> => `front|${key}`,
  /** The same by hostname alone. */
  fronts: (hostname: string): FactKey<ServiceFront> => `fronts|${hostname}`,
  /** The same by the object it is made of, `Kind/namespace/name`: all of its hosts. */
  frontsOf: (object: string): FactKey<readonly ServiceFront[]> => `frontsof|${object}`,
  /** Workloads behind a service. */
  members: (key: string): FactKey<ServiceMember> => `members|${key}`,
  /** Present when a service may only be reached through its waypoint. */
  requirement: (key: string): FactKey<WaypointRequirement> => `requirement|${key}`,
  /** Chains of a waypoint (`namespace/name` of its Gateway), one answer a service. */
  chains: (gateway: string): FactKey<readonly ChainFact[]> => `chains|${gateway}`,
  /** Addresses of workloads behind a waypoint themselves, one answer a workload. */
  attachedWorkloads: (gateway: string): FactKey<readonly IpAddress[]> => `attachedworkloads|${gateway}`,
  /** Nodes on which replicas of a waypoint run. */
  waypointNodes: (gateway: string): FactKey<string> => `waypointnodes|${gateway}`,
} as const;

/** PEM. `problem`: why it is of no use; there is no key then. */
export type ClientCertificateFact =
  | { readonly chain: string; readonly privateKey: string }
  | { readonly problem: string };

/** Labels and annotations of a Namespace or GatewayClass. */
export interface NamespaceFact {
  readonly labels: Labels;
  readonly annotations: Labels;
}

export interface GatewayClassFact extends NamespaceFact {
  readonly controllerName: string;
}

/** Something that selects workloads by labels; `labels` is never empty. */
export type Selecting = { readonly labels: Labels } & (
  | { readonly by: "Service" | "ServiceEntry"; readonly services: readonly ServiceLink[] }
  | { readonly by: "AuthorizationPolicy"; readonly policy: string }
  | { readonly by: "PeerAuthentication"; readonly peerAuthentication: PeerAuthenticationFact }
);

/** One service as its endpoints see it. */
export interface ServiceLink {
  /** `namespace/hostname` */
  readonly key: string;
  readonly ports: readonly LinkPort[];
}

export interface LinkPort {
  readonly name: string;
  readonly servicePort: number;
  /** A name is looked up on the workload. */
  readonly target: number | string;
}

export interface ServiceFact extends ServiceLink {
  readonly hasSelector: boolean;
}

export interface TargetFact {
  /** UID the endpoint names; empty when it names none. */
  readonly uid: string;
  /** The slice's namespace and the Service it belongs to. */
  readonly namespace: string;
  readonly service: string;
  readonly ports: readonly { readonly name: string; readonly port: number }[];
}

export interface GatewayFact {
  readonly className: string;
  /** The service account its pods run as. */
  readonly account: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  /** Destinations behind it are told who the client is. */
  readonly tellsClientIdentity: boolean;
  readonly hostnames: readonly string[];
  readonly ips: readonly IpAddress[];
  readonly listeners: readonly GatewayListener[];
}

export interface GatewayListener {
  readonly port: number;
  readonly protocol: string;
  /** `All`, `Same`, `Selector` or `None`. */
  readonly from: string;
  readonly selector: unknown;
}

export interface NetworkGatewayFact {
  readonly network: string;
  readonly address: IpAddress;
  readonly hboneMtlsPort: number;
}

export interface HostClaim {
  readonly object: ObjectKey;
  readonly kind: "Service" | "ServiceEntry";
  readonly namespace: string;
  readonly createdAt: string;
  readonly visibility: "Public" | "Namespace";
}

export type PeerMode = "UNSET" | "PERMISSIVE" | "STRICT";

export interface PeerAuthenticationFact {
  readonly namespace: string;
  readonly name: string;
  readonly createdAt: string;
  readonly mode: PeerMode;
  /** Modes by workload port. */
  readonly ports: Readonly<Record<string, PeerMode>>;
}
