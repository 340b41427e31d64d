/** The clusters every waypoint has: from the tunnel's end into `main_internal`, and out again through `connect_originate`. */
import {
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { InternalUpstreamTransportSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream";
import { RawBufferSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer";
import { HttpProtocolOptionsSchema } from "@ambit/envoy-api/envoy/extensions/upstreams/http/v3/http_protocol_options";
import { Port } from "@ambit/shared/net";
import type { EnvoyResource } from "../compile-object.ts";
import { CONNECT_ORIGINATE, ENCAP, ISTIO_METADATA, MAIN_INTERNAL, ORIGINAL_DST_METADATA } from "./names.ts";
import { duration, envoyResource, filter, type Init, pack } from "./proto.ts";
import { upstreamTls } from "./tls.ts";

type ClusterInit = Init<typeof ClusterSchema>;

export const HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const CLEANUP_MS = 60_000;
const HBONE_IDLE_MS = 3_600_000;

const rawBuffer = () => filter("raw_buffer", RawBufferSchema);

/** In-process: hands the endpoint's metadata to the internal listener behind it. */
export const internalUpstream = (inner = rawBuffer()) =>
  filter("internal_upstream", InternalUpstreamTransportSchema, {
    passthroughMetadata: [ORIGINAL_DST_METADATA, ISTIO_METADATA].map((name) => ({
      kind: { kind: { case: "host" as const, value: {} } },
      name,
    })),
    transportSocket: inner,
  });

const toListener = (name: string, listener: string, connectTimeoutMs: number): ClusterInit => ({
  name,
  clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.STATIC },
  connectTimeout: duration(connectTimeoutMs),
  loadAssignment: {
    clusterName: name,
    endpoints: [
      {
        lbEndpoints: [
          {
            hostIdentifier: {
              case: "endpoint",
              value: {
                address: {
                  address: {
                    case: "envoyInternalAddress",
                    value: { addressNameSpecifier: { case: "serverListenerName", value: listener } },
                  },
                },
              },
            },
          },
        ],
      },
    ],
  },
  transportSocket: internalUpstream(),
});

const connectOriginate = (trustDomains: readonly string[], connectTimeoutMs: number): ClusterInit => ({
  name: CONNECT_ORIGINATE,
  clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.ORIGINAL_DST },
  lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
  connectTimeout: duration(connectTimeoutMs),
  cleanupInterval: duration(CLEANUP_MS),
  lbConfig: {
    case: "originalDstLbConfig",
    value: {
      upstreamPortOverride: Port.HBONE,
      metadataKey: { key: ORIGINAL_DST_METADATA, path: [{ segment: { case: "key", value: "waypoint" } }] },
    },
  },
  typedExtensionProtocolOptions: {
    [HTTP_OPTIONS]: pack(HttpProtocolOptionsSchema, {
      commonHttpProtocolOptions: { idleTimeout: duration(HBONE_IDLE_MS) },
      upstreamProtocolOptions: {
        case: "explicitHttpConfig",
        value: { protocolConfig: { case: "http2ProtocolOptions", value: { allowConnect: true } } },
      },
    }),
  },
  transportSocket: upstreamTls(trustDomains),
});

/** Nobody declares what a workload's own port speaks: what its client speaks to it. */
const clientsProtocol = () => ({
  [HTTP_OPTIONS]: pack(HttpProtocolOptionsSchema, {
    upstreamProtocolOptions: {
      case: "useDownstreamProtocolConfig",
      value: { httpProtocolOptions: {}, http2ProtocolOptions: {} },
    },
  }),
});

export const staticClusters = (
  scope: string,
  trustDomains: readonly string[],
  connectTimeoutMs: number,
): readonly EnvoyResource[] =>
  [
    toListener(MAIN_INTERNAL, MAIN_INTERNAL, connectTimeoutMs),
    { ...toListener(ENCAP, CONNECT_ORIGINATE, connectTimeoutMs), typedExtensionProtocolOptions: clientsProtocol() },
    connectOriginate(trustDomains, connectTimeoutMs),
  ].map((cluster) => envoyResource(scope, ClusterSchema, cluster.name as string, cluster));
