import { type KubeObject, labelsAt, labelsOf, namespaceOf, recordAt } from "@ambit/shared/kube";
import type { Workload } from "@ambit/shared/workload";
import { externalWorkload } from "./external-workload.ts";
import type { FactReader } from "./fact-store.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import { selectedBy } from "./selected-by.ts";
import { byKey, type Membership, servicesMap } from "./workload-services.ts";

/** Labels of a WorkloadEntry: those of the object and those of its spec, which count when both are given. */
export const workloadEntryLabels = (object: KubeObject) => ({
  ...labelsOf(object),
  ...labelsAt(object.spec, "labels"),
});

/**
 * A WorkloadEntry as a Workload, member of the ServiceEntries and Services that select it.
 *
 * Parity: istio pilot ambient/workloads.go workloadEntryWorkloadBuilder
 */
export function compileWorkloadEntry(reader: FactReader, object: KubeObject, mesh: MeshSettings): Workload | undefined {
  const namespace = namespaceOf(object);
  const labels = workloadEntryLabels(object);
  const selected = selectedBy(reader, namespace, labels, mesh.rootNamespace);
  const explicit = recordAt(object.spec, "ports");
  const memberships = [...selected.services, ...selected.serviceEntries].sort(byKey).map(
    (link): Membership => ({
      link,
      targetOf({ name, target }) {
        const own = explicit[name] ?? (typeof target === "string" ? explicit[target] : undefined) ?? target;
        return typeof own === "number" ? own : undefined;
      },
    }),
  );
  return externalWorkload(reader, mesh, {
    uid: `${mesh.clusterId}/networking.istio.io/WorkloadEntry/${namespace}/${object.metadata.name}`,
    name: object.metadata.name,
    namespace,
    spec: object.spec ?? {},
    labels,
    policyLabels: labels,
    waypointLabels: labels,
    services: servicesMap(memberships),
  });
}
