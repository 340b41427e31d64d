/** Whether a certificate request may be signed for an identity. Pure. */
import { err, ok, type Result } from "@ambit/shared/errors";
import { parseSpiffeId, type SpiffeId, type SpiffeUri } from "@ambit/shared/identity";
import type { CsrFacts } from "@ambit/shared/x509";
import type { Caller } from "./join-tokens.ts";

/** Proof that a caller may have a certificate of this identity; only `authorizeIdentity` makes one. */
export interface IdentityPermit {
  readonly caller: Caller;
  readonly id: SpiffeId;
  readonly uri: SpiffeUri;
  readonly permit: unique symbol;
}

export interface IdentityRestriction {
  readonly trustDomain: string;
  /**
   * Whether a pod of that namespace and service account is on the node: `spec.nodeName` is the node, and the phase is
   * neither Succeeded nor Failed.
   */
  hasPod(node: string, namespace: string, serviceAccount: string): boolean;
  /** Whether that very pod exists, runs as that service account, and has not finished. */
  isRunning(namespace: string, pod: string, serviceAccount: string): boolean;
}

/**
 * A node gets identities of its own pods only, a pod its own only.
 *
 * @param requested  absent: the caller's own identity, which a node does not have
 * Parity: istio security/pkg/server/ca/node_auth.go
 * Differs: the trust domain is compared, finished pods do not count, and the refusal says why
 */
export function authorizeIdentity(
  caller: Caller,
  requested: string | undefined,
  restriction: IdentityRestriction,
): Result<IdentityPermit> {
  const text = requested ?? ownIdentity(caller, restriction.trustDomain);
  if (text === undefined) return err("a node has no identity of its own");
  const id = parseSpiffeId(text);
  if (!id.ok) return id;
  const { trustDomain, namespace, serviceAccount } = id.value;
  if (trustDomain !== restriction.trustDomain) {
    return err(`expected an identity of trust domain ${restriction.trustDomain}, got ${trustDomain}`);
  }
  const refusal = refusalOf(caller, { namespace, serviceAccount }, restriction);
  if (refusal !== undefined) return err(refusal);
  return ok({ caller, id: id.value, uri: text as SpiffeUri } as IdentityPermit);
}

const ownIdentity = (caller: Caller, trustDomain: string): string | undefined =>
  caller.kind === "workload" ? `spiffe://${trustDomain}/ns/${caller.namespace}/sa/${caller.serviceAccount}` : undefined;

function refusalOf(
  caller: Caller,
  { namespace, serviceAccount }: Pick<SpiffeId, "namespace" | "serviceAccount">,
  restriction: IdentityRestriction,
): string | undefined {
  if (caller.kind === "node") {
    return restriction.hasPod(caller.node, namespace, serviceAccount)
      ? undefined
      : `no running pod of service account ${namespace}/${serviceAccount} is on node ${caller.node}`;
  }
  if (namespace !== caller.namespace || serviceAccount !== caller.serviceAccount) {
    return `the token is for service account ${caller.namespace}/${caller.serviceAccount}, not for ${namespace}/${serviceAccount}`;
  }
  return restriction.isRunning(namespace, caller.pod, serviceAccount)
    ? undefined
    : `no running pod ${namespace}/${caller.pod} of service account ${serviceAccount}`;
}

/** A caller as logs and counters call it. */
export const callerName = (caller: Caller): string =>
  caller.kind === "node" ? caller.node : `${caller.namespace}/${caller.pod}`;

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
