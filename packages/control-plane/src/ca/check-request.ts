/** Whether a certificate request may be signed for an identity. Pure. */
import { err, ok, type Result } from "@ambit/shared/errors";
import { parseSpiffeId, type SpiffeId, type SpiffeUri } from "@ambit/shared/identity";
import type { CsrFacts } from "@ambit/shared/x509";

/** Proof that a node may have a certificate of this identity; only `authorizeIdentity` makes one. */
export interface IdentityPermit {
  readonly node: string;
  readonly id: SpiffeId;
  readonly uri: SpiffeUri;
  readonly permit: unique symbol;
}

export interface NodeRestriction {
  readonly trustDomain: string;
  /**
   * Whether a pod of that namespace and service account is on the node: `spec.nodeName` is the node, and the phase is
   * neither Succeeded nor Failed.
   */
  hasPod(node: string, namespace: string, serviceAccount: string): boolean;
}

/**
 * A node gets identities of its own pods only.
 *
 * Parity: istio security/pkg/server/ca/node_auth.go
 * Differs: the trust domain is compared, finished pods do not count, and the refusal says why
 */
export function authorizeIdentity(
  node: string,
  requested: string,
  restriction: NodeRestriction,
): Result<IdentityPermit> {
  const id = parseSpiffeId(requested);
  if (!id.ok) return id;
  const { trustDomain, namespace, serviceAccount } = id.value;
  if (trustDomain !== restriction.trustDomain) {
    return err(`expected an identity of trust domain ${restriction.trustDomain}, got ${trustDomain}`);
  }
  if (!restriction.hasPod(node, namespace, serviceAccount)) {
    return err(`no running pod of service account ${namespace}/${serviceAccount} is on node ${node}`);
  }
  return ok({ node, id: id.value, uri: requested as SpiffeUri } as IdentityPermit);
}

/**
 * A request may name nothing beside the identity it was authorized for, and be no CA. Without any name it is fine too.
 *
 * Differs: istiod ignores what the request asks for beyond its identity; a request that asks for more is refused here,
 * for whoever sent it expects to get it
 */
export function checkWishes(csr: CsrFacts, permit: IdentityPermit): Result<undefined> {
  const strange = [...csr.uris.filter((uri) => uri !== permit.uri), ...csr.otherNames];
  if (strange.length > 0) {
    const shown = strange.slice(0, 3).map((name) => JSON.stringify(name.slice(0, 120)));
    return err(`the CSR asks for other names than ${permit.uri}: ${shown.join(", ")}`);
  }
  return csr.asksForCa ? err("the CSR asks for a CA certificate") : ok(undefined);
}
