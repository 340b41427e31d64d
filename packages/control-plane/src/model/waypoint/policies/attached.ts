/** Which policies hold for a service at a waypoint. Spec: Istio PolicyTargetReference. */
import { byAge, type KubeObject, namespaceOf } from "@ambit/shared/kube";
import type { FactReader } from "../../fact-store.ts";
import { fact } from "../../facts.ts";
import type { MeshSettings } from "../../mesh-settings.ts";
import type { ServiceFront } from "../derived-facts.ts";

export type PolicyKind = "AuthorizationPolicy" | "RequestAuthentication" | "Telemetry";

/** What a chain is for: a service behind a gateway, or only the gateway (the direct chains). */
export interface PolicySubject {
  /** `namespace/name` */
  readonly gateway: string;
  readonly front?: ServiceFront;
}

/** Every policy of a kind that holds there, oldest first; one that names several targets counts once. */
export function policiesFor(
  reader: FactReader,
  kind: PolicyKind,
  { gateway, front }: PolicySubject,
  mesh: MeshSettings,
): readonly KubeObject[] {
  const [namespace = "", name = ""] = gateway.split("/");
  const [found] = reader.read(fact.gateway(namespace, name));
  const attached = [
    ...reader.read(fact.attachedTo("Gateway", namespace, name)),
    ...(found ? reader.read(fact.attachedTo("GatewayClass", mesh.rootNamespace, found.className)) : []),
    ...(front ? reader.read(fact.attachedTo(front.kind, front.namespace, front.name)) : []),
  ];
  return distinct(attached.filter((policy) => policy.kind === kind));
}

/** Policies of a kind attached to a route, oldest first. */
export const policiesOfRoute = (reader: FactReader, kind: PolicyKind, route: KubeObject): readonly KubeObject[] =>
  route.kind === "HTTPRoute" || route.kind === "GRPCRoute"
    ? distinct(
        reader
          .read(fact.attachedTo(route.kind, namespaceOf(route), route.metadata.name))
          .filter((policy) => policy.kind === kind),
      )
    : [];

function distinct(policies: readonly KubeObject[]): readonly KubeObject[] {
  const byName = new Map(policies.map((policy) => [`${namespaceOf(policy)}/${policy.metadata.name}`, policy]));
  return [...byName.values()].sort(byAge);
}
