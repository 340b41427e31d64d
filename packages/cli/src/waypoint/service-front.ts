/** What stands in front of a service or a pod: the waypoint its labels ask for, and whether traffic gets through it. */
import { type KubeObject, matchesLabels } from "@ambit/shared/kube";
import type { LabClient } from "@ambit/shared/lab-client";
import { usedWaypoint } from "./used-waypoint.ts";
import { findWaypoints } from "./wait-for-waypoint.ts";
import { type ConditionState, conditionsOf, type WaypointState } from "./waypoint-state.ts";

export interface ServiceFront {
  /** `service NAMESPACE/NAME` or `pod NAMESPACE/NAME`. */
  readonly subject: string;
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

/** @param object  a Service or a Pod */
export async function frontOf(lab: LabClient, object: KubeObject): Promise<ServiceFront> {
  const { name, namespace = "default" } = object.metadata;
  const subject = `${object.kind.toLowerCase()} ${namespace}/${name}`;
  const [home] = await lab.objects({ kind: "Namespace", name: namespace });
  const used = usedWaypoint(object, home);
  if (!used) return { subject };
  const [state] = await findWaypoints(lab, { namespace: used.namespace, name: used.name });
  const bound = conditionsOf(object).find(({ type }) => type === BOUND);
  return {
    subject,
    waypoint: {
      gateway: `${used.namespace}/${used.name}`,
      askedBy: used.askedBy,
      ...(bound ? { bound } : {}),
      ...(state ? { state } : {}),
    },
  };
}

/** Whether traffic to the pod's own address goes there too: it asks itself, or the waypoint is for workloads. */
export const concernsPod = ({ waypoint }: ServiceFront): boolean =>
  waypoint !== undefined &&
  (waypoint.askedBy === "object" || ["workload", "all"].includes(waypoint.state?.trafficType ?? ""));

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
