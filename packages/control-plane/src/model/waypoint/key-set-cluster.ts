/** The cluster by which an Envoy fetches a key set. Our own waypoint goes by the URI, and judges where it leads. */
import { Cluster_DiscoveryType, ClusterSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import {
  type CertificateValidationContextSchema,
  SubjectAltNameMatcher_SanType,
} from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/common";
import { UpstreamTlsContextSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import type { EnvoyResource } from "../compile-object.ts";
import { outboundName } from "./names.ts";
import { duration, envoyResource, filter, type Init } from "./proto.ts";
import { type BackendContext, clusterFor, frontByHost } from "./routes/backends.ts";
import { SYSTEM_ROOTS, TLS_SOCKET } from "./tls.ts";

const CONNECT_MS = 5_000;

interface NeededCluster {
  readonly cluster: string;
  readonly subUnits: readonly string[];
  readonly resources: readonly EnvoyResource[];
}

export function keySetCluster(context: BackendContext, uri: URL): NeededCluster {
  const hostname = uri.hostname.replace(/^\[|\]$/g, "");
  const port = Number(uri.port) || (uri.protocol === "https:" ? 443 : 80);
  const front = frontByHost(context.reader, hostname, context.gateway.split("/")[0] ?? "");
  if (front?.ports.some((each) => each.port === port)) {
    return { ...clusterFor(context, front, port), resources: [] };
  }
  const cluster = outboundName(port, hostname);
  return {
    cluster,
    subUnits: [],
    resources: [hostCluster(context.gateway, cluster, { hostname, port, tls: uri.protocol === "https:" })],
  };
}

interface Host {
  readonly hostname: string;
  readonly port: number;
  readonly tls: boolean;
}

/** A host that is no service of the mesh, found by DNS. The system's roots vouch for it. */
function hostCluster(scope: string, name: string, { hostname, port, tls }: Host): EnvoyResource {
  return envoyResource(scope, ClusterSchema, name, {
    name,
    altStatName: `${name};`,
    clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.STRICT_DNS },
    connectTimeout: duration(CONNECT_MS),
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
                      case: "socketAddress",
                      value: { address: hostname, portSpecifier: { case: "portValue", value: port } },
                    },
                  },
                },
              },
            },
          ],
        },
      ],
    },
    ...(tls && { transportSocket: verifiedTls(hostname) }),
  });
}

const verifiedTls = (hostname: string) => {
  const validation: Init<typeof CertificateValidationContextSchema> = {
    ...SYSTEM_ROOTS,
    matchTypedSubjectAltNames: [
      { sanType: SubjectAltNameMatcher_SanType.DNS, matcher: { matchPattern: { case: "exact", value: hostname } } },
    ],
  };
  return filter(TLS_SOCKET, UpstreamTlsContextSchema, {
    sni: hostname,
    commonTlsContext: { validationContextType: { case: "validationContext", value: validation } },
  });
};
