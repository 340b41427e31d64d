import type { Baggage } from "@ambit/shared/hbone";
import type { Workload } from "@ambit/shared/workload";

/** What we say of one of our workloads in a tunnel. */
export const baggageOf = (workload: Workload): Baggage => ({
  clusterId: workload.clusterId,
  namespace: workload.namespace,
  workloadType: workload.workloadType,
  workloadName: workload.workloadName,
  canonicalName: workload.canonicalName,
  canonicalRevision: workload.canonicalRevision,
  region: workload.locality.region,
  zone: workload.locality.zone,
});
