import { err, ok, type Result } from "@ambit/shared/errors";
import type { Node } from "@ambit/shared/proto";
import type { Caller } from "../ca/index.ts";

/** `TYPE~IP~NAME.NAMESPACE~DOMAIN`; name and namespace may be empty outside a cluster. */
const NODE_ID = /^(ztunnel|waypoint|router|sidecar)~[^~]*~([^~]*)~[^~]*$/;

/**
 * Whether what a client says of itself agrees with its token. The token decides who it is; a client that says
 * something else is misconfigured or lying, and both should be seen.
 *
 * Parity: istiod refuses a node whose namespace or service account is not the token's. Differs: a join token names the
 * Kubernetes node.
 */
export function checkNode(node: Node, caller: Caller): Result<undefined> {
  const id = NODE_ID.exec(node.id);
  if (node.id !== "" && !id)
    return err(`expected a node id TYPE~IP~NAME.NAMESPACE~DOMAIN, got "${node.id.slice(0, 120)}"`);
  const expected = caller.kind === "node" ? { NODE_NAME: caller.node } : workloadMetadata(caller);
  for (const [field, value] of Object.entries(expected)) {
    const said = node.metadata?.[field];
    if (said !== undefined && said !== value) {
      return err(`the token is for ${field} ${value}, the client says ${String(said).slice(0, 120)}`);
    }
  }
  const namespace = node.metadata?.["NAMESPACE"];
  const name = id?.[2] ?? "";
  if (typeof namespace === "string" && name !== "" && !name.endsWith(`.${namespace}`)) {
    return err(`the node id is not of namespace ${namespace.slice(0, 120)}`);
  }
  if (caller.kind === "workload" && name !== "" && name !== `${caller.pod}.${caller.namespace}`) {
    return err(`the token is for pod ${caller.pod}.${caller.namespace}, the node id says ${name.slice(0, 120)}`);
  }
  return ok(undefined);
}

const workloadMetadata = ({ namespace, serviceAccount }: Extract<Caller, { kind: "workload" }>) => ({
  NAMESPACE: namespace,
  SERVICE_ACCOUNT: serviceAccount,
});
