/** Phase 6, before it acts: where a request to a wildcard's cluster goes: to the host that it names. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { formatSocketAddress } from "@ambit/shared/net";
import type { DynamicHosts } from "../balance/dynamic-hosts.ts";
import type { Cluster } from "../balance/model.ts";
import type { RoutedContext } from "../request-context.ts";
import { refuse, type Stop } from "./stop.ts";

const PORT_OF_TLS = 443;
const PORT_OF_HTTP = 80;

const clusterOf = ({ model, cluster }: RoutedContext): Cluster | undefined => model.clusters.get(cluster?.name ?? "");

export const namesItsHost = (context: RoutedContext): boolean => clusterOf(context)?.dynamic === true;

/**
 * Only hosts that the wildcard covers, on the service's own port, whatever virtual host let the request in: a waypoint is no
 * proxy to anywhere. Plaintext that leaves as TLS goes to the port of TLS.
 *
 * Differs: Envoy takes the port that the Host field names.
 */
export async function resolveHost(context: RoutedContext, hosts: DynamicHosts): Promise<RoutedContext | Stop> {
  const cluster = clusterOf(context);
  if (!cluster) return context;
  const { host, port: asked } = context.authority;
  const port = context.chain.service?.port ?? context.tunnel.destination.port;
  if (!covers(cluster, host) || (asked !== undefined && asked !== port)) {
    const message = `expected a host of ${cluster.service?.hostname ?? "none"} on port ${port}, got ${context.authority.authority}`;
    return refuse(context, ErrorCode.ROUTE_NOT_FOUND, { message });
  }
  try {
    const ip = await hosts.resolve(host);
    const isUpgraded = cluster.transport.kind === "tls" && port === PORT_OF_HTTP;
    const address = { ip, port: isUpgraded ? PORT_OF_TLS : port };
    const endpoint = {
      key: formatSocketAddress(address),
      address,
      hostname: host,
      weight: 1,
      health: "healthy",
      reach: { kind: "plain" },
      workload: "",
    } as const;
    return { ...context, named: endpoint };
  } catch (error) {
    context.record.cluster = cluster.name;
    return refuse(context, MeshError.from(error, ErrorCode.NO_HEALTHY_UPSTREAM));
  }
}

/** `*.example.org` covers `a.example.org` and `a.b.example.org`, not `example.org`. Spec: Istio ServiceEntry hosts */
function covers({ service }: Cluster, host: string): boolean {
  const pattern = service?.hostname.toLowerCase() ?? "";
  return pattern.startsWith("*.") && host.length > pattern.length - 1 && host.endsWith(pattern.slice(1));
}
