import * as core from "./checks/core-kinds.ts";
import { anything, type Check } from "./checks/field-checks.ts";
import * as gateway from "./checks/gateway-kinds.ts";
import * as networking from "./checks/networking-kinds.ts";
import * as route from "./checks/route-kinds.ts";
import * as security from "./checks/security-kinds.ts";
import * as traffic from "./checks/traffic-kinds.ts";

/** One kind that means something to the mesh. */
export interface KindDescription {
  /** Empty for the core group. */
  readonly group: string;
  readonly versions: readonly string[];
  readonly clusterScoped: boolean;
  readonly check: Check;
  /**
   * What an invalid object of this kind does when no earlier good version of it is known. Security kinds are passed
   * on for the compiler to fail closed on: a DENY that is dropped because of a typing error would be an open door.
   */
  readonly whenInvalid: "drop" | "pass-on";
}

const kind = (group: string, versions: readonly string[], check: Check, more: Partial<KindDescription> = {}) => ({
  group,
  versions,
  check,
  clusterScoped: false,
  whenInvalid: "drop" as const,
  ...more,
});
const CLUSTER = { clusterScoped: true } as const;
const ISTIO = ["v1", "v1beta1"];
const ISTIO_NETWORKING = ["v1", "v1beta1", "v1alpha3"];
const GATEWAY_GROUP = "gateway.networking.k8s.io";
const GATEWAY = ["v1", "v1beta1", "v1alpha2"];
const GATEWAY_TLS = [...GATEWAY, "v1alpha3"];

/** Every kind the mesh reads. Any other is accepted and left alone. */
export const KINDS: ReadonlyMap<string, KindDescription> = new Map(
  Object.entries<KindDescription>({
    Namespace: kind("", ["v1"], anything, CLUSTER),
    Node: kind("", ["v1"], core.node, CLUSTER),
    ServiceAccount: kind("", ["v1"], anything),
    Pod: kind("", ["v1"], core.pod),
    Service: kind("", ["v1"], core.service),
    ConfigMap: kind("", ["v1"], anything),
    Secret: kind("", ["v1"], anything),
    Deployment: kind("apps", ["v1"], core.deployment),
    EndpointSlice: kind("discovery.k8s.io", ["v1"], core.endpointSlice),
    Gateway: kind(GATEWAY_GROUP, GATEWAY, gateway.gateway),
    GatewayClass: kind(GATEWAY_GROUP, GATEWAY, gateway.gatewayClass, CLUSTER),
    HTTPRoute: kind(GATEWAY_GROUP, GATEWAY, route.httpRoute),
    GRPCRoute: kind(GATEWAY_GROUP, GATEWAY, route.grpcRoute),
    TCPRoute: kind(GATEWAY_GROUP, GATEWAY, route.streamRoute),
    TLSRoute: kind(GATEWAY_GROUP, GATEWAY_TLS, route.streamRoute),
    ReferenceGrant: kind(GATEWAY_GROUP, GATEWAY, route.referenceGrant),
    AuthorizationPolicy: kind("security.istio.io", ISTIO, security.authorizationPolicy, { whenInvalid: "pass-on" }),
    PeerAuthentication: kind("security.istio.io", ISTIO, security.peerAuthentication, { whenInvalid: "pass-on" }),
    RequestAuthentication: kind("security.istio.io", ISTIO, security.requestAuthentication, { whenInvalid: "pass-on" }),
    ServiceEntry: kind("networking.istio.io", ISTIO_NETWORKING, networking.serviceEntry),
    WorkloadEntry: kind("networking.istio.io", ISTIO_NETWORKING, networking.workloadEntry),
    VirtualService: kind("networking.istio.io", ISTIO_NETWORKING, traffic.virtualService),
    DestinationRule: kind("networking.istio.io", ISTIO_NETWORKING, traffic.destinationRule),
    Telemetry: kind("telemetry.istio.io", ["v1", "v1alpha1"], traffic.telemetry),
  }),
);

/** Kinds of other groups that share a name with ours and are somebody else's business. */
const NAMESAKES: ReadonlySet<string> = new Set(["networking.istio.io/Gateway", "serving.knative.dev/Service"]);

export const isNamesake = (group: string, name: string): boolean => NAMESAKES.has(`${group}/${name}`);
