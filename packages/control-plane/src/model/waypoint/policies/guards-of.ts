import type { FactReader } from "../../fact-store.ts";
import { fact } from "../../facts.ts";
import type { MeshSettings } from "../../mesh-settings.ts";
import type { Guards } from "../guards.ts";
import { NO_MESH_CONFIG } from "../mesh-config.ts";
import { type PolicySubject, policiesFor } from "./attached.ts";
import { httpRuleFilters, tcpRuleFilters } from "./rbac-filters.ts";

export const meshConfigOf = (reader: FactReader) => reader.read(fact.meshConfig())[0] ?? NO_MESH_CONFIG;

/** All names of the mesh's trust domain, its own first. */
export const trustDomainsOf = (reader: FactReader, mesh: MeshSettings): readonly string[] => [
  ...new Set([mesh.trustDomain, ...meshConfigOf(reader).trustDomainAliases]),
];

/** Everything that guards a chain. */
export function guardsOf(reader: FactReader, subject: PolicySubject, mesh: MeshSettings): Guards {
  const policies = policiesFor(reader, "AuthorizationPolicy", subject, mesh);
  const context = { namespace: "", trustDomains: trustDomainsOf(reader, mesh) };
  return {
    http: { custom: [], tokens: [], rules: httpRuleFilters(policies, context) },
    tcp: tcpRuleFilters(policies, context),
  };
}
