/** The two ends of a waypoint's tunnels: `connect_terminate` in front, `connect_originate` behind. */
import { SocketAddress_Protocol } from "@ambit/envoy-api/envoy/config/core/v3/address";
import type { ListenerSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener";
import {
  type FilterStateValueSchema,
  FilterStateValue_SharedWithUpstream as Shared,
} from "@ambit/envoy-api/envoy/extensions/filters/common/set_filter_state/v3/value";
import { RouterSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/router/v3/router";
import { ConfigSchema as SetFilterStateSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state";
import { OriginalDstSchema } from "@ambit/envoy-api/envoy/extensions/filters/listener/original_dst/v3/original_dst";
import {
  HttpConnectionManager_ForwardClientCertDetails,
  HttpConnectionManagerSchema,
} from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { ConfigSchema as SetConnectionStateSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/set_filter_state/v3/set_filter_state";
import { TcpProxySchema } from "@ambit/envoy-api/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { Port } from "@ambit/shared/net";
import {
  CONNECT_AUTHORITY,
  CONNECT_ORIGINATE,
  CONNECT_TERMINATE,
  LOCAL_PRINCIPAL,
  MAIN_INTERNAL,
  ORIGINAL_DST_METADATA,
  PEER_PRINCIPAL,
} from "./names.ts";
import { duration, filter, type Init } from "./proto.ts";
import { downstreamTls } from "./tls.ts";

type ListenerInit = Init<typeof ListenerSchema>;

const MAX_STREAMS = 100;
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;
export const SERVER_NAME = "istio-envoy";

/** What the tunnel proved and asked for, handed on to `main_internal`. Parity: istiod. */
const state = (objectKey: string, format: string, factoryKey = ""): Init<typeof FilterStateValueSchema> => ({
  key: { case: "objectKey", value: objectKey },
  factoryKey,
  value: {
    case: "formatString",
    value: {
      format: {
        case: "textFormatSource",
        value: { specifier: { case: "inlineString", value: format } },
      },
    },
  },
  sharedWithUpstream: Shared.ONCE,
});

const tunnelFacts = () =>
  filter("connect_authority", SetFilterStateSchema, {
    onRequestHeaders: [
      state(`${ORIGINAL_DST_METADATA}.local_ip`, "%REQ(:AUTHORITY)%"),
      state(`${ORIGINAL_DST_METADATA}.remote_ip`, "%DOWNSTREAM_REMOTE_ADDRESS%"),
      state(CONNECT_AUTHORITY, "%REQ(:AUTHORITY)%", "envoy.string"),
      state(PEER_PRINCIPAL, "%DOWNSTREAM_PEER_URI_SAN%", "envoy.string"),
      state(LOCAL_PRINCIPAL, "%DOWNSTREAM_LOCAL_URI_SAN%", "envoy.string"),
    ],
  });

/** What the tunnel asked for went one hop; this hands it on to `connect_originate`, where no endpoint says where to go. */
export const sameDestination = () =>
  filter("connect_authority", SetConnectionStateSchema, {
    onNewConnection: [state(`${ORIGINAL_DST_METADATA}.local_ip`, "%DOWNSTREAM_LOCAL_ADDRESS%")],
  });

/** Ends HBONE on port 15008. */
export function connectTerminate(trustDomains: readonly string[]): ListenerInit {
  return {
    name: CONNECT_TERMINATE,
    address: {
      address: {
        case: "socketAddress",
        value: {
          protocol: SocketAddress_Protocol.TCP,
          address: "0.0.0.0",
          portSpecifier: { case: "portValue", value: Port.HBONE },
        },
      },
    },
    connectionBalanceConfig: { balanceType: { case: "exactBalance", value: {} } },
    filterChains: [
      {
        name: "default",
        transportSocket: downstreamTls(trustDomains),
        filters: [
          filter("envoy.filters.network.http_connection_manager", HttpConnectionManagerSchema, terminateHttp()),
        ],
      },
    ],
  };
}

const terminateHttp = (): Init<typeof HttpConnectionManagerSchema> => ({
  statPrefix: CONNECT_TERMINATE,
  http2ProtocolOptions: {
    allowConnect: true,
    maxConcurrentStreams: MAX_STREAMS,
    connectionKeepalive: { interval: duration(KEEPALIVE_MS), timeout: duration(KEEPALIVE_TIMEOUT_MS) },
  },
  streamIdleTimeout: duration(0),
  useRemoteAddress: false,
  serverName: SERVER_NAME,
  forwardClientCertDetails: HttpConnectionManager_ForwardClientCertDetails.APPEND_FORWARD,
  setCurrentClientCertDetails: { subject: true, uri: true, dns: true },
  upgradeConfigs: [{ upgradeType: "CONNECT" }],
  routeSpecifier: {
    case: "routeConfig",
    value: {
      name: "default",
      validateClusters: false,
      virtualHosts: [
        {
          name: "default",
          domains: ["*"],
          routes: [
            {
              match: { pathSpecifier: { case: "connectMatcher", value: {} } },
              action: {
                case: "route",
                value: {
                  clusterSpecifier: { case: "cluster", value: MAIN_INTERNAL },
                  upgradeConfigs: [{ upgradeType: "CONNECT", connectConfig: {} }],
                },
              },
            },
          ],
        },
      ],
    },
  },
  httpFilters: [tunnelFacts(), filter("envoy.filters.http.router", RouterSchema)],
});

export const originalDestination = () => filter("envoy.filters.listener.original_dst", OriginalDstSchema);

/** Opens a tunnel to wherever the endpoint's metadata says. */
export const connectOriginateListener = (): ListenerInit => ({
  name: CONNECT_ORIGINATE,
  listenerSpecifier: { case: "internalListener", value: {} },
  useOriginalDst: false,
  listenerFilters: [originalDestination()],
  filterChains: [
    {
      name: "default",
      filters: [
        filter("envoy.filters.network.tcp_proxy", TcpProxySchema, {
          statPrefix: CONNECT_ORIGINATE,
          clusterSpecifier: { case: "cluster", value: CONNECT_ORIGINATE },
          tunnelingConfig: { hostname: "%DOWNSTREAM_LOCAL_ADDRESS%" },
        }),
      ],
    },
  ],
});
