import { create, type JsonObject } from "@bufbuild/protobuf";
import { type Node, NodeSchema } from "../proto/index.ts";

/** Which node proxy subscribes. */
export interface XdsNode {
  readonly instanceIp: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly nodeName: string;
  /** `ISTIO_META_*`, prefix taken off. */
  readonly meta: Readonly<Record<string, string>>;
  /** `ISTIO_METAJSON_*`, parsed from JSON. */
  readonly metaJson: Readonly<Record<string, unknown>>;
}

/** Who subscribes, of any kind; its id and metadata as the control plane is to see them. */
export interface XdsIdentity {
  /** `TYPE~IP~NAME.NAMESPACE~NAMESPACE.svc.DOMAIN` */
  readonly id: string;
  /** `SERVICE-ACCOUNT.NAMESPACE`, or empty. */
  readonly cluster: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export function identityToProto({ id, cluster, metadata }: XdsIdentity): Node {
  return create(NodeSchema, { id, cluster, metadata: metadata as JsonObject });
}

/** Parity: ztunnel src/xds/client.rs; `cluster.local` is fixed text in the id, whatever the cluster's domain. */
export function nodeToProto(node: XdsNode): Node {
  const { instanceIp, podName, podNamespace, nodeName } = node;
  const metadata = {
    NAME: podName,
    NAMESPACE: podNamespace,
    INSTANCE_IPS: instanceIp,
    NODE_NAME: nodeName,
    ...node.meta,
    ...node.metaJson,
  } as JsonObject;
  const id = `ztunnel~${instanceIp}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`;
  return create(NodeSchema, { id, metadata });
}
