import type { EnvReader } from "@ambit/shared/config";
import { type AccessConfig, readAccess, readNodeMetadata } from "@ambit/shared/proxy-config";

const DEFAULT_SECRET_TTL_MS = 24 * 3_600_000;

export interface ControlPlaneConfig extends AccessConfig {
  readonly clusterId: string;
  readonly secretTtlMs: number;
  /** PEM or DER file of revoked certificates. */
  readonly crlPath?: string;
  readonly node: NodeIdentity;
}

/** What the xDS node message says of us. */
export interface NodeIdentity {
  readonly instanceIp: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly nodeName: string;
  readonly trustDomain: string;
  /** `ISTIO_META_*`, prefix taken off. */
  readonly meta: Readonly<Record<string, string>>;
  /** `ISTIO_METAJSON_*`, parsed. */
  readonly metaJson: Readonly<Record<string, unknown>>;
}

export function readControlPlane(env: EnvReader): ControlPlaneConfig {
  const crlPath = env.optionalText("CRL_PATH");
  return {
    ...readAccess(env),
    clusterId: env.optionalText("ISTIO_META_CLUSTER_ID") ?? env.text("CLUSTER_ID", "Kubernetes"),
    secretTtlMs: env.durationMs("SECRET_TTL", DEFAULT_SECRET_TTL_MS),
    ...(crlPath === undefined ? {} : { crlPath }),
    node: readNode(env),
  };
}

function readNode(env: EnvReader): NodeIdentity {
  return {
    instanceIp: env.text("INSTANCE_IP", "1.1.1.1"),
    podName: env.text("POD_NAME", ""),
    podNamespace: env.text("POD_NAMESPACE", ""),
    nodeName: env.text("NODE_NAME", ""),
    trustDomain: env.text("TRUST_DOMAIN", "cluster.local"),
    ...readNodeMetadata(env),
  };
}
