import { err, ok, type Result } from "../errors/result.ts";

/** The identity of a workload: trust domain, namespace, service account. */
export interface SpiffeId {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** The text form, `spiffe://TD/ns/NS/sa/SA`; two identities are the same exactly when these texts are. */
export type SpiffeUri = string & { readonly __brand: "SpiffeUri" };

/** A DNS-like name as Kubernetes and SPIFFE allow it: lower case, no percent escapes, no empty or dot-only segments. */
const SEGMENT = /^[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?$/;

/**
 * Parses `spiffe://TD/ns/NS/sa/SA`, strictly: scheme in lower case, exactly five segments, each a lower-case name,
 * no trailing slash, escape, query or control character, at most 2048 bytes.
 *
 * Spec: SPIFFE-ID 2; Differs: ztunnel accepts empty segments, we refuse them.
 */
export function parseSpiffeId(text: string): Result<SpiffeId> {
  const shown = JSON.stringify(text.slice(0, 120));
  if (text.length > 2048) return err(`expected a SPIFFE ID of at most 2048 bytes, got ${text.length}`);
  if (!text.startsWith("spiffe://")) return err(`expected spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT, got ${shown}`);
  const parts = text.slice("spiffe://".length).split("/");
  const [trustDomain = "", ns, namespace = "", sa, serviceAccount = ""] = parts;
  const wellFormed = parts.length === 5 && ns === "ns" && sa === "sa";
  if (!wellFormed || ![trustDomain, namespace, serviceAccount].every((part) => SEGMENT.test(part))) {
    return err(`expected spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT, got ${shown}`);
  }
  return ok({ trustDomain, namespace, serviceAccount });
}

export function formatSpiffeId(id: SpiffeId): SpiffeUri {
  return `spiffe://${id.trustDomain}/ns/${id.namespace}/sa/${id.serviceAccount}` as SpiffeUri;
}

/** The form policies match: `TD/ns/NS/sa/SA`, without the scheme. */
export function principalOf(id: SpiffeId): string {
  return `${id.trustDomain}/ns/${id.namespace}/sa/${id.serviceAccount}`;
}
