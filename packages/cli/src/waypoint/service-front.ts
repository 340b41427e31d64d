/** What stands in front of a service: the waypoint its labels ask for, and whether the mesh lets traffic through it. */
import { type KubeObject, matchesLabels } from "@ambit/shared/kube";
import type { LabClient } from "@ambit/shared/lab-client";
import { usedWaypoint } from "./used-waypoint.ts";
import { findWaypoints } from "./wait-for-waypoint.ts";
import { type ConditionState, conditionsOf, type WaypointState } from "./waypoint-state.ts";

export interface ServiceFront {
  /** `namespace/name`. */
  readonly service: string;
  readonly waypoint?: {
    /** `namespace/name` of the Gateway. */
    readonly gateway: string;
    readonly askedBy: "object" | "namespace";
    /** What the control plane made of it; undefined before it has looked. */
    readonly bound?: ConditionState;
    /** Undefined when there is no such Gateway. */
    readonly state?: WaypointState;
  };
}

const BOUND = "istio.io/WaypointBound";

export async function frontOf(lab: LabClient, service: KubeObject): Promise<ServiceFront> {
  const { name, namespace = "default" } = service.metadata;
  const [home] = await lab.objects({ kind: "Namespace", name: namespace });
  const used = usedWaypoint(service, home);
  if (!used) return { service: `${namespace}/${name}` };
  const [state] = await findWaypoints(lab, { namespace: used.namespace, name: used.name });
  const bound = conditionsOf(service).find(({ type }) => type === BOUND);
  return {
    service: `${namespace}/${name}`,
    waypoint: {
      gateway: `${used.namespace}/${used.name}`,
      askedBy: used.askedBy,
      ...(bound ? { bound } : {}),
      ...(state ? { state } : {}),
    },
  };
}

/** The services that name a pod as theirs. */
export function servicesOf(pod: KubeObject, services: readonly KubeObject[]): readonly KubeObject[] {
  return services.filter(({ metadata, spec }) => {
    const selector = spec?.["selector"] as Readonly<Record<string, string>> | undefined;
    const same = (metadata.namespace ?? "default") === (pod.metadata.namespace ?? "default");
    return (
      same &&
      selector !== undefined &&
      Object.keys(selector).length > 0 &&
      matchesLabels(selector, pod.metadata.labels ?? {})
    );
  });
}
