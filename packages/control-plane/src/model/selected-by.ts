import { type Labels, matchesLabels } from "@ambit/shared/kube";
import { peerAuthenticationPolicies } from "./compile-peer-authentication.ts";
import type { FactReader } from "./fact-store.ts";
import { fact, type PeerAuthenticationFact, type Selecting, type ServiceLink } from "./facts.ts";

/** What selects a workload by its labels. */
export interface SelectedBy {
  readonly services: readonly ServiceLink[];
  readonly serviceEntries: readonly ServiceLink[];
  /** Sorted keys of authorization policies. */
  readonly policies: readonly string[];
  readonly peerAuthentications: readonly PeerAuthenticationFact[];
}

/**
 * Asks for each of the workload's labels what wants it. A selector is filed under its first label only, so this finds
 * it at most once, and a selector that changes touches only workloads with that label.
 */
export function selectedBy(reader: FactReader, namespace: string, labels: Labels, rootNamespace: string): SelectedBy {
  const own = selecting(reader, namespace, labels);
  const fromRoot = namespace === rootNamespace ? [] : selecting(reader, rootNamespace, labels);
  const policies = [...own, ...fromRoot].flatMap((each) => (each.by === "AuthorizationPolicy" ? [each.policy] : []));
  return {
    services: own.flatMap((each) => (each.by === "Service" ? each.services : [])),
    serviceEntries: own.flatMap((each) => (each.by === "ServiceEntry" ? each.services : [])),
    policies: [...new Set(policies)].sort(),
    // A selector in the root namespace would be a policy for pods of the control plane at most: it has no effect.
    peerAuthentications:
      namespace === rootNamespace
        ? []
        : own.flatMap((each) => (each.by === "PeerAuthentication" ? [each.peerAuthentication] : [])),
  };
}

function selecting(reader: FactReader, namespace: string, labels: Labels): readonly Selecting[] {
  return Object.entries(labels)
    .flatMap(([label, value]) => reader.read(fact.selecting(namespace, label, value)))
    .filter((each) => matchesLabels(each.labels, labels));
}

/** `authorization_policies` of a workload: what selects it, then the synthetic ones of its mTLS mode. */
export function policiesOf(
  reader: FactReader,
  namespace: string,
  selected: SelectedBy,
  rootNamespace: string,
): readonly string[] {
  const peer = { namespace, selecting: selected.peerAuthentications };
  return [...selected.policies, ...peerAuthenticationPolicies(reader, peer, rootNamespace)];
}
