import type { ObjectKey } from "@ambit/shared/kube";
import type { FactReader } from "./fact-store.ts";
import { fact, type HostClaim } from "./facts.ts";

/** What becomes of one object's claim to a hostname. */
export interface ClaimVerdict {
  /** Nobody in the same namespace has a better claim: the object emits the service. */
  readonly isOwner: boolean;
  /** The object that does, if not this one. */
  readonly owner?: ObjectKey;
  /** This is whom other namespaces mean by the hostname. */
  readonly isCanonical: boolean;
}

/** A Kubernetes Service before any ServiceEntry, then the oldest, then by key. */
export function claimOf(reader: FactReader, hostname: string, object: ObjectKey): ClaimVerdict {
  const claims = [...reader.read(fact.hostClaims(hostname))].sort(byStrength);
  const own = claims.find((claim) => claim.object === object);
  const owner = claims.find(({ namespace }) => namespace === own?.namespace);
  const canonical = claims.find(({ kind, visibility }) => kind === "Service" || visibility === "Public");
  const isOwner = owner?.object === object;
  return { isOwner, isCanonical: canonical?.object === object, ...(owner && !isOwner && { owner: owner.object }) };
}

function byStrength(a: HostClaim, b: HostClaim): number {
  if (a.kind !== b.kind) return a.kind === "Service" ? -1 : 1;
  const [left, right] = [a, b].map(({ createdAt, object }) => `${createdAt} ${object}`);
  return (left as string) < (right as string) ? -1 : 1;
}
