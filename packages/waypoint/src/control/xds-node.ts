import type { XdsIdentity } from "@ambit/shared/xds";
import type { NodeConfig } from "../config/index.ts";

const GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name";
const MANAGED_LABEL = "gateway.istio.io/managed";

/**
 * What the control plane is told of us. The environment's `ISTIO_META_*` and `ISTIO_METAJSON_*` come last and win, but
 * for what the control plane checks against our token.
 *
 * Parity: istio-agent. ISTIO_VERSION is left out: absent means the newest shape.
 */
export function waypointNode(node: NodeConfig): XdsIdentity {
  const { podName, podNamespace, serviceAccount, instanceIp, gatewayName, nodeName, network, clusterId } = node;
  const labels = {
    ...(gatewayName === "" ? {} : { [GATEWAY_LABEL]: gatewayName }),
    [MANAGED_LABEL]: "istio.io-mesh-controller",
    ...labelsOf(node.metaJson["LABELS"]),
  };
  return {
    id: `waypoint~${instanceIp}~${podName}.${podNamespace}~${podNamespace}.svc.${node.clusterDomain}`,
    cluster: `${serviceAccount}.${podNamespace}`,
    metadata: {
      NAME: podName,
      ...(nodeName === "" ? {} : { NODE_NAME: nodeName }),
      ...(network === "" ? {} : { NETWORK: network }),
      ...node.meta,
      ...node.metaJson,
      NAMESPACE: podNamespace,
      SERVICE_ACCOUNT: serviceAccount,
      INSTANCE_IPS: instanceIp,
      CLUSTER_ID: clusterId,
      LABELS: labels,
    },
  };
}

const labelsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
