/**
 * L4 authorization policy as data. Spec: istio.security.Authorization.
 * rules are ORed, the clauses of a rule ANDed, the matches of a clause ORed, the fields of a match ANDed.
 */
export interface AuthorizationPolicy {
  readonly name: string;
  readonly namespace: string;
  readonly scope: "Global" | "Namespace" | "WorkloadSelector";
  readonly action: "Allow" | "Deny";
  readonly dryRun: boolean;
  readonly rules: readonly PolicyRule[];
}

/** Clauses, ANDed. No clause matches everything. */
export type PolicyRule = readonly PolicyClause[];
/** Matches, ORed. No match is true. */
export type PolicyClause = readonly PolicyMatch[];

/** Fields, ANDed; an absent list is satisfied; in a list any value may hit, in a `not` list none may. */
export interface PolicyMatch {
  readonly namespaces?: readonly StringMatch[];
  readonly notNamespaces?: readonly StringMatch[];
  readonly principals?: readonly StringMatch[];
  readonly notPrincipals?: readonly StringMatch[];
  readonly serviceAccounts?: readonly ServiceAccountMatch[];
  readonly notServiceAccounts?: readonly ServiceAccountMatch[];
  /** CIDR text, e.g. `10.0.0.0/8`. */
  readonly sourceIps?: readonly string[];
  readonly notSourceIps?: readonly string[];
  readonly destinationIps?: readonly string[];
  readonly notDestinationIps?: readonly string[];
  readonly destinationPorts?: readonly number[];
  readonly notDestinationPorts?: readonly number[];
}

export type StringMatch =
  | { readonly kind: "exact"; readonly value: string }
  | { readonly kind: "prefix"; readonly value: string }
  | { readonly kind: "suffix"; readonly value: string }
  | { readonly kind: "presence" };

export interface ServiceAccountMatch {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** The store's key and the name workloads list: `namespace/name`. */
export const policyKey = (policy: { readonly namespace: string; readonly name: string }): string =>
  `${policy.namespace}/${policy.name}`;

/** What one xDS push changes. `removed` holds policy keys and is applied after `policies`. */
export interface PolicyDelta {
  readonly policies: readonly AuthorizationPolicy[];
  readonly removed: readonly string[];
}
