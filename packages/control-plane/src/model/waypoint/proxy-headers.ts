/**
 * Headers that a waypoint adds, or leaves alone, as the mesh and the Gateway ask.
 *
 * Spec: Istio ProxyConfig `proxyHeaders` (`defaultConfig` of MeshConfig); `ambient.istio.io/xfcc-include-client-identity`.
 * `forwardedClientCert` is of sidecars and `attemptCount` of clients: a waypoint does not have them.
 */
import { HeaderValueOption_HeaderAppendAction as Append } from "@ambit/envoy-api/envoy/config/core/v3/base";
import { HeaderMutationSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/header_mutation/v3/header_mutation";
import {
  type HttpConnectionManagerSchema,
  HttpConnectionManager_ServerHeaderTransformation as Transformation,
} from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { recordAt, textAt } from "@ambit/shared/kube";
import type { HttpFilterInit } from "./guards.ts";
import { LOCAL_PRINCIPAL, PEER_PRINCIPAL } from "./names.ts";
import { filter, type Init } from "./proto.ts";

type Fields = Readonly<Record<string, unknown>>;

/** On `spec.infrastructure.annotations` of a Gateway, or on the Gateway where it has none there. */
export const CLIENT_IDENTITY_ANNOTATION = "ambient.istio.io/xfcc-include-client-identity";

export type ManagerHeaders = Pick<
  Init<typeof HttpConnectionManagerSchema>,
  "serverName" | "serverHeaderTransformation" | "generateRequestId" | "appendXForwardedPort"
>;

const isTrue = (fields: Fields, name: string, key: string): boolean => recordAt(fields, name)[key] === true;
/** A value of a header: visible ASCII. */
const SERVER = /^[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?$/;

export function managerHeaders(proxyHeaders: Fields): ManagerHeaders {
  const server = textAt(recordAt(proxyHeaders, "server"), "value");
  return {
    ...(SERVER.test(server) && { serverName: server }),
    ...(isTrue(proxyHeaders, "server", "disabled") && { serverHeaderTransformation: Transformation.PASS_THROUGH }),
    ...(isTrue(proxyHeaders, "requestId", "disabled") && { generateRequestId: false }),
    ...(isTrue(proxyHeaders, "xForwardedPort", "enabled") && { appendXForwardedPort: true }),
  };
}

/** `x-envoy-*` of answers and requests. */
export const hidesEnvoyHeaders = (proxyHeaders: Fields): boolean =>
  isTrue(proxyHeaders, "envoyDebugHeaders", "disabled");

/**
 * Writes who the client is, as its tunnel proved it, over whatever the request says. The manager has taken callers' copies out
 * before: there is none of it in a request whose client proved nothing.
 */
export const clientIdentity = (): HttpFilterInit =>
  filter("istio.waypoint.xfcc_client_identity", HeaderMutationSchema, {
    mutations: {
      requestMutations: [
        {
          action: {
            case: "append",
            value: {
              header: {
                key: "x-forwarded-client-cert",
                value: `By=%FILTER_STATE(${LOCAL_PRINCIPAL}:PLAIN)%;URI=%FILTER_STATE(${PEER_PRINCIPAL}:PLAIN)%`,
              },
              appendAction: Append.OVERWRITE_IF_EXISTS_OR_ADD,
            },
          },
        },
      ],
    },
  });
