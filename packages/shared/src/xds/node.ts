import { create, type JsonObject } from "@bufbuild/protobuf";
import { type Node, NodeSchema } from "../proto/index.ts";

/** Who subscribes. */
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
