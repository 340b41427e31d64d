import type { MeshStore } from "@ambit/shared/workload";

/** What the decisions ask of the mesh. All lookups are O(1) or O(answers). */
export type MeshView = Pick<
  MeshStore,
  | "findAddress"
  | "findService"
  | "findServiceByKey"
  | "servicesByHostname"
  | "endpointsOf"
  | "isEndpoint"
  | "findWorkloadByHostname"
>;
