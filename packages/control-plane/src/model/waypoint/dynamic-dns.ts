/**
 * Hosts of a wildcard that requests name themselves: Envoy's dynamic forward proxy.
 *
 * Spec: Istio ServiceEntry, resolution DYNAMIC_DNS. Only requests can name one: connections lead nowhere.
 * Differs: an Envoy goes wherever the name leads, our waypoint to public addresses only.
 */

import type { ClusterSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { Cluster_DnsLookupFamily, Cluster_LbPolicy } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { ClusterConfigSchema } from "@ambit/envoy-api/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster";
import type { DnsCacheConfigSchema } from "@ambit/envoy-api/envoy/extensions/common/dynamic_forward_proxy/v3/dns_cache";
import { FilterConfigSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy";
import { type Condition, rejected } from "../condition.ts";
import type { ServiceFront } from "./derived-facts.ts";
import type { HttpFilterInit } from "./guards.ts";
import { filter, type Init, pack } from "./proto.ts";
import { speaksHttp } from "./service-front.ts";

/** The same for cluster and filter: that is how one finds the other. */
const cacheOf = ({ hostname }: ServiceFront): Init<typeof DnsCacheConfigSchema> => ({
  name: `dns-cache|${hostname}`,
  dnsLookupFamily: Cluster_DnsLookupFamily.V4_PREFERRED,
});

export const dynamicDiscovery = (front: ServiceFront): Init<typeof ClusterSchema> => ({
  clusterDiscoveryType: {
    case: "clusterType",
    value: {
      name: "envoy.clusters.dynamic_forward_proxy",
      typedConfig: pack(ClusterConfigSchema, {
        clusterImplementationSpecifier: { case: "dnsCacheConfig", value: cacheOf(front) },
      }),
    },
  },
  lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
  lbConfig: { case: undefined },
});

/** Undefined for services whose endpoints are known. */
export const dynamicFilter = (front: ServiceFront): HttpFilterInit | undefined =>
  front.discovery === "dynamic-dns"
    ? filter("envoy.filters.http.dynamic_forward_proxy", FilterConfigSchema, {
        implementationSpecifier: { case: "dnsCacheConfig", value: cacheOf(front) },
      })
    : undefined;

/** Ports of a ServiceEntry that lead nowhere: connections that are not HTTP name no host. */
export function dynamicProblems(fronts: readonly ServiceFront[]): readonly Condition[] {
  const ports = fronts
    .filter(({ discovery, gateways }) => discovery === "dynamic-dns" && gateways.length > 0)
    .flatMap((front) => front.ports.filter(({ protocol }) => !speaksHttp(protocol)));
  if (ports.length === 0) return [];
  const shown = [...new Set(ports.map(({ name, port }) => `${name || "unnamed"} (${port})`))].join(", ");
  const message = `spec.ports ${shown}: DYNAMIC_DNS leads HTTP requests to the host they name; these connections are refused`;
  return [rejected("UnsupportedValue", message)];
}

/** Which Host fields a table of routes is for. A waypoint of a wildcard is no proxy to anywhere. */
export const hostDomains = (front: ServiceFront) =>
  front.discovery === "dynamic-dns"
    ? { domains: [front.hostname], ignorePortInHostMatching: true }
    : { domains: ["*"], ignorePortInHostMatching: false };
