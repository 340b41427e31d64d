import { formatSpiffeId, parseSpiffeId, type SpiffeUri } from "@ambit/shared/identity";
import type { Service, Workload } from "@ambit/shared/workload";

/** The SPIFFE ID xDS gives a workload. */
export const identityOf = (workload: Workload): SpiffeUri => formatSpiffeId(workload);

/**
 * Whom the next hop must prove to be, exactly: the workload's own identity, or a name its service lists. Sorted and
 * without duplicates, so that equal sets make equal pool keys.
 */
export function expectedIdentities(workload: Workload, service: Service | undefined): readonly SpiffeUri[] {
  const listed = (service?.subjectAltNames ?? []).filter((name) => parseSpiffeId(name).ok) as SpiffeUri[];
  return [...new Set([identityOf(workload), ...listed])].sort();
}
