/** Every name of the cluster, computed from its services and pods. Spec: Kubernetes DNS-Based Service Discovery. */
import type { IpAddress } from "@ambit/shared/net";
import { isAddressable, type Pod } from "../cluster/pod.ts";
import { endpointsOf, podsOfService, type Service } from "../cluster/service.ts";

export interface SrvTarget {
  readonly port: number;
  readonly host: string;
}

export interface NameEntry {
  readonly ips: readonly IpAddress[];
  readonly alias?: string;
  readonly srv: readonly SrvTarget[];
}

export interface Zone {
  /** Without trailing dot, lower case. */
  readonly domain: string;
  readonly names: ReadonlyMap<string, NameEntry>;
  /** Address -> the name its PTR record gives. */
  readonly reverse: ReadonlyMap<string, string>;
}

export function zoneOf(
  { services, pods }: { readonly services: readonly Service[]; readonly pods: readonly Pod[] },
  domain: string,
): Zone {
  const names = new Map<string, NameEntry>();
  const reverse = new Map<string, string>();
  for (const pod of pods.filter(isAddressable)) {
    for (const ip of pod.status.ips) names.set(`${dashed(ip)}.${pod.namespace}.pod.${domain}`, { ips: [ip], srv: [] });
  }
  for (const service of services) addService(service, podsOfService(service, pods), { names, reverse, domain });
  return { domain, names, reverse };
}

interface Building {
  readonly names: Map<string, NameEntry>;
  readonly reverse: Map<string, string>;
  readonly domain: string;
}

function addService(service: Service, backends: readonly Pod[], { names, reverse, domain }: Building): void {
  const host = `${service.name}.${service.namespace}.svc.${domain}`;
  if (service.externalName !== undefined) {
    names.set(host, { ips: [], alias: service.externalName.toLowerCase().replace(/\.$/, ""), srv: [] });
    return;
  }
  const headless = service.headless ? backends : [];
  names.set(host, { ips: service.headless ? headless.flatMap((pod) => pod.status.ips) : service.clusterIps, srv: [] });
  for (const ip of service.clusterIps) reverse.set(ip, host);
  for (const pod of headless) {
    const own = podHost(pod, service, host);
    names.set(own, { ips: pod.status.ips, srv: [] });
    for (const ip of pod.status.ips) reverse.set(ip, own);
  }
  for (const port of service.ports) {
    if (port.name === undefined) continue;
    const srv = service.headless
      ? headless.flatMap((pod) =>
          endpointsOf(port, [pod], 4).map((one) => ({ port: one.port, host: podHost(pod, service, host) })),
        )
      : [{ port: port.port, host }];
    names.set(`_${port.name}._${port.protocol.toLowerCase()}.${host}`, { ips: [], srv });
  }
}

/** A pod that names its host and subdomain has a name of its own below a headless service; others are named by address. */
function podHost(pod: Pod, service: Service, host: string): string {
  return pod.subdomain === service.name ? `${pod.hostname}.${host}` : `${dashed(pod.status.ips[0] ?? "")}.${host}`;
}

const dashed = (ip: string): string => ip.replaceAll(".", "-").replaceAll(":", "-");
