import { textAt } from "@ambit/shared/kube";
import type { EnvoyResource } from "../../compile-object.ts";
import type { FactReader } from "../../fact-store.ts";
import { fact } from "../../facts.ts";
import type { MeshSettings } from "../../mesh-settings.ts";
import type { Guards } from "../guards.ts";
import { keySetCluster } from "../key-set-cluster.ts";
import { NO_MESH_CONFIG } from "../mesh-config.ts";
import { type BackendContext, clusterFor, frontByHost } from "../routes/backends.ts";
import { type PolicySubject, policiesFor } from "./attached.ts";
import {
  type Authorizer,
  authorizerSettings,
  type FindAuthorizer,
  httpCustomFilters,
  tcpCustomFilters,
} from "./custom.ts";
import { httpRuleFilters, tcpRuleFilters } from "./rbac-filters.ts";
import { tokenFilters } from "./tokens.ts";

export const meshConfigOf = (reader: FactReader) => reader.read(fact.meshConfig())[0] ?? NO_MESH_CONFIG;

/** All names of the mesh's trust domain, its own first. */
export const trustDomainsOf = (reader: FactReader, mesh: MeshSettings): readonly string[] => [
  ...new Set([mesh.trustDomain, ...meshConfigOf(reader).trustDomainAliases]),
];

export interface GuardsAndNeeds {
  readonly guards: Guards;
  /** Clusters of services that are asked. */
  readonly subUnits: readonly string[];
  /** Clusters of hosts that keys are fetched from. */
  readonly resources: readonly EnvoyResource[];
}

/** Everything that guards a chain. */
export function guardsOf(reader: FactReader, subject: PolicySubject, mesh: MeshSettings): GuardsAndNeeds {
  const { gateway } = subject;
  const policies = policiesFor(reader, "AuthorizationPolicy", subject, mesh);
  const tokens = policiesFor(reader, "RequestAuthentication", subject, mesh);
  const context = { namespace: "", trustDomains: trustDomainsOf(reader, mesh) };
  const subUnits = new Set<string>();
  const resources = new Map<string, EnvoyResource>();
  const backends: BackendContext = { reader, mesh, gateway, protocol: "http" };
  const find: FindAuthorizer = (provider) => {
    const found = findService(backends, provider);
    for (const unit of found?.subUnits ?? []) subUnits.add(unit);
    return found?.authorizer;
  };
  const http = {
    custom: httpCustomFilters(policies, context, find),
    tokens: tokenFilters(tokens, (uri) => {
      const needed = keySetCluster(backends, uri);
      for (const unit of needed.subUnits) subUnits.add(unit);
      for (const resource of needed.resources) resources.set(resource.name, resource);
      return needed.cluster;
    }),
    rules: httpRuleFilters(policies, context),
  };
  const tcp = [...tcpCustomFilters(policies, context, find), ...tcpRuleFilters(policies, context)];
  return { guards: { http, tcp }, subUnits: [...subUnits].sort(), resources: [...resources.values()] };
}

/** `service` is a hostname, perhaps with the namespace that means it: `foo/auth.foo.svc.cluster.local`. */
export function findService(
  context: BackendContext,
  provider: string,
): { readonly authorizer: Authorizer; readonly subUnits: readonly string[] } | undefined {
  const found = authorizerSettings(meshConfigOf(context.reader).providers[provider]);
  if (!found) return undefined;
  const target = providerTarget(context, found.settings);
  if (!target) return undefined;
  const { cluster, subUnits, authority } = target;
  return { authorizer: { ...found, cluster, authority }, subUnits };
}

/** The service and port that a provider of the mesh config names. */
export function providerTarget(
  context: BackendContext,
  settings: Readonly<Record<string, unknown>>,
): { readonly cluster: string; readonly authority: string; readonly subUnits: readonly string[] } | undefined {
  const service = textAt(settings, "service");
  const slash = service.indexOf("/");
  const hostname = service.slice(slash + 1);
  const namespace = slash < 0 ? context.mesh.rootNamespace : service.slice(0, slash);
  const port = Number(settings["port"]);
  const front = frontByHost(context.reader, hostname, namespace);
  if (!front?.ports.some((each) => each.port === port)) return undefined;
  const { cluster, subUnits } = clusterFor(context, front, port);
  return { cluster, subUnits, authority: `${hostname}:${port}` };
}
