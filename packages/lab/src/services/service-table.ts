/** Services resolved to endpoints: the one table that kube-proxy's stand-in, the DNS and the explicit proxy read. */
import type { IpAddress } from "@ambit/shared/net";
import { isIpv4 } from "@ambit/shared/net";
import type { Pod } from "../cluster/pod.ts";
import { type Endpoint, endpointsOf, podsOfService, type Service } from "../cluster/service.ts";

/** One address and port that stands for endpoints. */
export interface VirtualPort {
  readonly ip: IpAddress;
  readonly protocol: "TCP" | "UDP";
  readonly port: number;
  readonly nodePort: number | undefined;
  readonly sticky: boolean;
  readonly endpoints: readonly Endpoint[];
}

export function virtualPorts(services: readonly Service[], pods: readonly Pod[]): readonly VirtualPort[] {
  const taken = new Set<string>();
  return services.flatMap((service) => {
    const backends = podsOfService(service, pods);
    return service.clusterIps.flatMap((ip, index) =>
      service.ports.flatMap((port) => {
        const key = `${ip} ${port.protocol} ${port.port}`;
        // Two services may claim one address by hand; the first by name keeps it, or the rules would not load.
        if (taken.has(key)) return [];
        taken.add(key);
        return [
          {
            ip,
            protocol: port.protocol,
            port: port.port,
            nodePort: index === 0 ? port.nodePort : undefined,
            sticky: service.clientIpAffinity,
            endpoints: endpointsOf(port, backends, isIpv4(ip) ? 4 : 6),
          },
        ];
      }),
    );
  });
}
