export {
  annotationsOf,
  byAge,
  isHostNetwork,
  isReady,
  isTerminal,
  labelsAt,
  labelsOf,
  NO_LABELS,
  namedPortOf,
  namespaceOf,
  nodeNameOf,
  parseGoBoolean,
  podIps,
  podPhase,
  recordAt,
  recordsAt,
  serviceAccountOf,
  textAt,
  textsAt,
} from "./accessors.ts";
export { isRecord } from "./checks/field-checks.ts";
export {
  DATAPLANE_MODE_LABEL,
  type Enrolment,
  type EnrolmentReason,
  enrolmentOf,
  REDIRECTION_ANNOTATION,
} from "./enrolment.ts";
export { createFolderSource, type FolderSourceInit } from "./folder/folder-source.ts";
export { formatYaml } from "./format-yaml.ts";
export { KINDS, type KindDescription } from "./kinds.ts";
export { mergePatch } from "./merge-patch.ts";
export {
  type InputProblem,
  type KubeObject,
  type ObjectChange,
  type ObjectKey,
  type ObjectMeta,
  type ObjectSource,
  objectKey,
} from "./model.ts";
export { MAX_FILE_BYTES, type ParsedFile, type ParsedObject, parseKubeFile } from "./parse-file.ts";
export { type Labels, matchesLabels, selectorMatches } from "./selector.ts";
export {
  AMBIT_WAYPOINT_CLASS,
  GATEWAY_CLASS_LABEL,
  GATEWAY_NAME_LABEL,
  ISTIO_WAYPOINT_CLASS,
  isMadeFor,
  isWaypointGateway,
  MANAGED_LABEL,
  MANAGED_WAYPOINT,
  MAX_WAYPOINT_REPLICAS,
  REPLICAS_ANNOTATION,
  shortLabel,
  USE_WAYPOINT_LABEL,
  USE_WAYPOINT_NAMESPACE_LABEL,
  WAYPOINT_CONTROLLERS,
  WAYPOINT_FOR_LABEL,
  waypointClasses,
  waypointName,
} from "./waypoint-gateway.ts";
export { type RenderedWaypoint, renderWaypoint } from "./waypoint-manifests.ts";
export { CLUSTER_RUNTIME, WAYPOINT_CONTAINER, type WaypointRuntime } from "./waypoint-pod.ts";
export { readYaml } from "./yaml-documents.ts";
