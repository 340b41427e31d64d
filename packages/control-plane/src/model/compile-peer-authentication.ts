import type { AuthorizationPolicy, PolicyMatch } from "@ambit/shared/policy";
import { accepted, type Condition, rejected } from "./condition.ts";
import type { FactReader } from "./fact-store.ts";
import { fact, type PeerAuthenticationFact, type PeerMode } from "./facts.ts";
import { byCreation, type ReadPeerAuthentication } from "./peer-authentication-fact.ts";

const STATIC_STRICT = "istio_converted_static_strict";

/** "Has no mTLS identity": what a DENY must match to refuse plaintext. */
const PLAINTEXT: PolicyMatch = { notPrincipals: [{ kind: "presence" }] };

/** The policy every STRICT workload without port exceptions refers to. */
export function staticStrict(rootNamespace: string): AuthorizationPolicy {
  return {
    name: STATIC_STRICT,
    namespace: rootNamespace,
    scope: "WorkloadSelector",
    action: "Deny",
    dryRun: false,
    rules: [[[PLAINTEXT]]],
  };
}

/** The mode a namespace's workloads have when no policy selects them. */
export function inheritedMode(reader: FactReader, namespace: string, rootNamespace: string): "PERMISSIVE" | "STRICT" {
  for (const each of namespace === rootNamespace ? [rootNamespace] : [namespace, rootNamespace]) {
    const oldest = oldestOf(reader, each);
    if (oldest && oldest.mode !== "UNSET") return oldest.mode;
  }
  return "PERMISSIVE";
}

/** Of those without a selector, one alone counts. */
const oldestOf = (reader: FactReader, namespace: string): PeerAuthenticationFact | undefined =>
  [...reader.read(fact.peerAuthentications(namespace))].sort(byCreation)[0];

/**
 * The policy of one selector PeerAuthentication whose ports differ from the rest; undefined when none does.
 * STRICT with exceptions is one rule that ANDs "plaintext" with "not this port" for every exempt port; the other way
 * round is one rule a strict port (istio#54146: AND-ing those would deny nothing).
 *
 * Parity: istio pilot ambient/authorization.go convertPeerAuthentication
 */
export function portLevelPolicy(
  own: PeerAuthenticationFact,
  inherited: "PERMISSIVE" | "STRICT",
): AuthorizationPolicy | undefined {
  const effective = own.mode === "UNSET" ? inherited : own.mode;
  const wanted: PeerMode = effective === "STRICT" ? "PERMISSIVE" : "STRICT";
  const differing = Object.entries(own.ports).filter(([, mode]) => mode === wanted);
  if (differing.length === 0) return undefined;
  const ports = differing.map(([port]) => Number(port)).sort((a, b) => a - b);
  return {
    name: `converted_peer_authentication_${own.name}`,
    namespace: own.namespace,
    scope: "WorkloadSelector",
    action: "Deny",
    dryRun: false,
    rules:
      effective === "STRICT"
        ? [[[PLAINTEXT], ...ports.map((port) => [{ notDestinationPorts: [port] }])]]
        : ports.map((port) => [[{ ...PLAINTEXT, destinationPorts: [port] }]]),
  };
}

/**
 * Keys of the synthetic policies of a workload.
 *
 * @param selecting  the peer authentications that select it, in any order
 */
export function peerAuthenticationPolicies(
  reader: FactReader,
  workload: { readonly namespace: string; readonly selecting: readonly PeerAuthenticationFact[] },
  rootNamespace: string,
): readonly string[] {
  const inherited = inheritedMode(reader, workload.namespace, rootNamespace);
  const own = [...workload.selecting].sort(byCreation)[0];
  const byPort = own && portLevelPolicy(own, inherited);
  const isStrict = (own === undefined || own.mode === "UNSET" ? inherited : own.mode) === "STRICT";
  if (byPort) return [`${byPort.namespace}/${byPort.name}`];
  return isStrict ? [`${rootNamespace}/${STATIC_STRICT}`] : [];
}

export function peerAuthenticationCondition(
  reader: FactReader,
  read: ReadPeerAuthentication,
  rootNamespace: string,
): Condition {
  const { fact: own, selector, invalid } = read;
  if (invalid.length > 0) {
    return rejected("Invalid", `${invalid.slice(0, 5).join(", ")}: not understood; STRICT holds for its whole scope`);
  }
  if (selector && own.namespace === rootNamespace) {
    return rejected("UnsupportedValue", "spec.selector: has no effect in the root namespace");
  }
  if (!selector && Object.keys(own.ports).length > 0) {
    return rejected("UnsupportedValue", "spec.portLevelMtls: has no effect without a selector");
  }
  const holder = selector ? undefined : oldestOf(reader, own.namespace);
  if (holder && holder.name !== own.name) {
    const message = `PeerAuthentication ${holder.namespace}/${holder.name} is older and holds instead; this one has no effect`;
    return rejected("Conflicted", message);
  }
  return accepted("enforced by node proxies");
}
