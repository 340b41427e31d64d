/** The Gateway a user means by `ambit waypoint apply`. Parity: istioctl waypoint. Differs: class and replicas can be chosen. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import {
  AMBIT_WAYPOINT_CLASS,
  type KubeObject,
  MAX_WAYPOINT_REPLICAS,
  REPLICAS_ANNOTATION,
  WAYPOINT_FOR_LABEL,
} from "@ambit/shared/kube";
import { Port } from "@ambit/shared/net";

export const TRAFFIC_TYPES = ["service", "workload", "all", "none"] as const;
export type TrafficType = (typeof TRAFFIC_TYPES)[number];
export const DEFAULT_WAYPOINT = "waypoint";

export interface WaypointChoice {
  readonly namespace: string;
  readonly name: string;
  readonly className?: string;
  /** Undefined = as the class says, else `service`. */
  readonly trafficType?: TrafficType;
  readonly replicas?: number;
  readonly revision?: string;
}

/** Throws MeshError CONFIG_INVALID for the name that means "no waypoint". */
export function waypointGateway(choice: WaypointChoice): KubeObject {
  const { namespace, name, className = AMBIT_WAYPOINT_CLASS, trafficType, replicas, revision } = choice;
  if (name === "none")
    throw new MeshError(ErrorCode.CONFIG_INVALID, 'expected another name: a label "none" means no waypoint at all');
  const labels = {
    ...(trafficType === undefined ? {} : { [WAYPOINT_FOR_LABEL]: trafficType }),
    ...(revision === undefined ? {} : { "istio.io/rev": revision }),
  };
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: {
      name,
      namespace,
      ...(Object.keys(labels).length > 0 ? { labels } : {}),
      ...(replicas === undefined ? {} : { annotations: { [REPLICAS_ANNOTATION]: String(replicas) } }),
    },
    spec: {
      gatewayClassName: className,
      listeners: [{ name: "mesh", port: Port.HBONE, protocol: "HBONE" }],
    },
  };
}

export function parseTrafficType(text: string): TrafficType | undefined {
  return TRAFFIC_TYPES.find((one) => one === text);
}

export const parseReplicas = (text: string): number | undefined =>
  /^\d{1,3}$/.test(text) && Number(text) <= MAX_WAYPOINT_REPLICAS ? Number(text) : undefined;
