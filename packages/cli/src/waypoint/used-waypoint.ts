/** Which waypoint labels ask for. Parity: the control plane's own reading; here only to tell a person. Pure. */
import { type KubeObject, USE_WAYPOINT_LABEL, USE_WAYPOINT_NAMESPACE_LABEL } from "@ambit/shared/kube";

export interface UsedWaypoint {
  readonly namespace: string;
  readonly name: string;
  /** The object whose label decided. */
  readonly askedBy: "object" | "namespace";
}

/** Own label before the namespace's; `none` opts out. Undefined when no waypoint is asked for. */
export function usedWaypoint(object: KubeObject, namespace: KubeObject | undefined): UsedWaypoint | undefined {
  const home = object.metadata.namespace ?? "default";
  for (const [askedBy, labels] of [
    ["object", object.metadata.labels],
    ["namespace", namespace?.metadata.labels],
  ] as const) {
    const name = labels?.[USE_WAYPOINT_LABEL];
    if (name === undefined || name === "") continue;
    if (name === "none") return undefined;
    return { namespace: labels?.[USE_WAYPOINT_NAMESPACE_LABEL] || home, name, askedBy };
  }
  return undefined;
}

/** What still names a waypoint by a label of its own, as `kind/name` or `kind/namespace/name`. */
export function usersOf(namespace: string, name: string, objects: readonly KubeObject[]): readonly KubeObject[] {
  return objects.filter(({ kind, metadata }) => {
    const home = kind === "Namespace" ? metadata.name : (metadata.namespace ?? "default");
    return (
      metadata.labels?.[USE_WAYPOINT_LABEL] === name &&
      (metadata.labels[USE_WAYPOINT_NAMESPACE_LABEL] || home) === namespace
    );
  });
}
