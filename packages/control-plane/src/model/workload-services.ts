import type { PortMapping } from "@ambit/shared/workload";
import type { LinkPort, ServiceLink } from "./facts.ts";

/** One service a workload belongs to, and how its target ports are found on the workload. */
export interface Membership {
  readonly link: ServiceLink;
  /** Undefined leaves that service port out for this workload. */
  readonly targetOf: (port: LinkPort) => number | undefined;
}

/**
 * The `services` map of a workload: `namespace/hostname` -> its ports there. Of several memberships in one service
 * the first counts; keys are sorted, so that equal input gives equal bytes.
 */
export function servicesMap(memberships: readonly Membership[]): Readonly<Record<string, readonly PortMapping[]>> {
  const entries = new Map<string, readonly PortMapping[]>();
  for (const { link, targetOf } of memberships) {
    if (entries.has(link.key)) continue;
    const ports = link.ports.flatMap((port) => {
      const targetPort = targetOf(port);
      return targetPort === undefined ? [] : [{ servicePort: port.servicePort, targetPort }];
    });
    entries.set(link.key, ports);
  }
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Memberships in a fixed order, whatever order the facts came in. */
export const byKey = (a: ServiceLink, b: ServiceLink): number => (a.key < b.key ? -1 : a.key === b.key ? 0 : 1);
