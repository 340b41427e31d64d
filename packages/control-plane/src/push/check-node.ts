import { err, ok, type Result } from "@ambit/shared/errors";
import type { Node } from "@ambit/shared/proto";

/** `TYPE~IP~NAME.NAMESPACE~DOMAIN`; name and namespace may be empty outside a cluster. */
const NODE_ID = /^(ztunnel|waypoint|router|sidecar)~[^~]*~([^~]*)~[^~]*$/;

/**
 * Whether what a client says of itself agrees with its token. The token decides who it is; a client that says
 * something else is misconfigured or lying, and both should be seen.
 *
 * Parity: istiod refuses a node whose namespace is not the token's. Differs: a join token names the Kubernetes node.
 */
export function checkNode(node: Node, tokenNode: string): Result<undefined> {
  const id = NODE_ID.exec(node.id);
  if (node.id !== "" && !id)
    return err(`expected a node id TYPE~IP~NAME.NAMESPACE~DOMAIN, got "${node.id.slice(0, 120)}"`);
  const said = node.metadata?.["NODE_NAME"];
  if (said !== undefined && said !== tokenNode) {
    return err(`the join token is for node ${tokenNode}, the client says it is on ${String(said).slice(0, 120)}`);
  }
  const namespace = node.metadata?.["NAMESPACE"];
  const name = id?.[2] ?? "";
  if (typeof namespace === "string" && name !== "" && !name.endsWith(`.${namespace}`)) {
    return err(`the node id is not of namespace ${namespace.slice(0, 120)}`);
  }
  return ok(undefined);
}
