import type { Labels } from "@ambit/shared/kube";
import type { Workload } from "@ambit/shared/workload";
import type { Facts } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { ServiceMember } from "./derived-facts.ts";

export interface LabelledWorkload {
  readonly workload: Workload;
  /** Labels that subsets choose by. */
  readonly labels: Labels;
}

/** Answers which workloads are behind a service, for all services of these workloads. */
export function memberFacts(workloads: readonly LabelledWorkload[]): Facts {
  const facts = new Map<string, ServiceMember>();
  for (const each of workloads) {
    for (const [service, ports] of Object.entries(each.workload.services)) {
      // One unit answers each question once: further endpoints of the same service hang on the first.
      const key = fact.members(service);
      const member = memberOf(each, ports);
      const first = facts.get(key);
      facts.set(key, first ? { ...first, siblings: [...(first.siblings ?? []), member] } : member);
    }
  }
  return facts;
}

function memberOf({ workload, labels }: LabelledWorkload, ports: ServiceMember["ports"]): ServiceMember {
  return {
    uid: workload.uid,
    name: workload.name,
    namespace: workload.namespace,
    addresses: workload.addresses,
    hostname: workload.hostname,
    ports,
    labels,
    hbone: workload.protocol === "HBONE",
    isPod: workload.uid.startsWith(`${workload.clusterId}//Pod/`),
    healthy: workload.status === "Healthy",
    node: workload.node,
    locality: workload.locality,
    network: workload.network,
    weight: workload.capacity,
    canonicalName: workload.canonicalName,
    canonicalRevision: workload.canonicalRevision,
    clusterId: workload.clusterId,
  };
}

/** All members, in a fixed order. */
export function membersOf(answers: readonly ServiceMember[]): readonly ServiceMember[] {
  return answers
    .flatMap((first) => [first, ...(first.siblings ?? [])])
    .sort((a, b) => (a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0));
}
