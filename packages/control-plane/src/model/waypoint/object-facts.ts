/** What routes, policies and mesh settings answer: filed under whom they are about. */
import {
  type KubeObject,
  type Labels,
  labelsOf,
  namespaceOf,
  recordAt,
  recordsAt,
  textAt,
  textsAt,
} from "@ambit/shared/kube";
import type { FactKey } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import { readMeshConfig } from "./mesh-config.ts";
import { secretFacts } from "./secret-facts.ts";

export type RouteParent = "Service" | "ServiceEntry" | "Host";
export type Attachment = "Service" | "ServiceEntry" | "Gateway" | "GatewayClass" | "HTTPRoute" | "GRPCRoute";
export type { MeshConfigFact } from "./mesh-config.ts";

type Entry = readonly [FactKey<unknown>, unknown];
const entry = <T>(key: FactKey<T>, value: T): Entry => [key, value];

export const GATEWAY_GROUP = "gateway.networking.k8s.io";
export const ROUTE_KINDS: ReadonlySet<string> = new Set(["HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute"]);

/** The kinds this file knows; anything else answers nothing here. */
export function waypointFacts(object: KubeObject, mesh: MeshSettings): readonly Entry[] {
  if (ROUTE_KINDS.has(object.kind)) return routeFacts(object);
  switch (object.kind) {
    case "AuthorizationPolicy":
    case "RequestAuthentication":
    case "Telemetry":
      return attachmentFacts(object);
    case "VirtualService":
      return hostFacts(object, textsAt(object.spec, "hosts"), mesh, (host) => fact.routesOf("Host", "", host));
    case "DestinationRule":
      return hostFacts(object, [textAt(object.spec, "host")], mesh, fact.destinationRules);
    case "ReferenceGrant":
      return [entry(fact.referenceGrants(namespaceOf(object)), bare(object))];
    case "Secret":
      return secretFacts(object);
    case "ConfigMap":
      return [...secretFacts(object), ...meshConfigFacts(object, mesh)];
    default:
      return [];
  }
}

function meshConfigFacts(object: KubeObject, mesh: MeshSettings): readonly Entry[] {
  const isMeshConfig = object.metadata.name === "istio" && namespaceOf(object) === mesh.rootNamespace;
  return isMeshConfig ? [entry(fact.meshConfig(), readMeshConfig(object))] : [];
}

/** An object without what others write on it: their writing must not look like a change. */
function bare(object: KubeObject): KubeObject {
  const { status: _status, metadata, ...rest } = object;
  const { name, namespace, creationTimestamp, annotations } = metadata;
  return {
    ...rest,
    metadata: {
      name,
      ...(namespace !== undefined && { namespace }),
      ...(creationTimestamp !== undefined && { creationTimestamp }),
      ...(annotations !== undefined && { annotations }),
    },
  } as KubeObject;
}

function routeFacts(route: KubeObject): readonly Entry[] {
  const object = bare(route);
  return recordsAt(route.spec, "parentRefs").flatMap((ref): readonly Entry[] => {
    const parent = parentKind(ref);
    if (parent === undefined) return [];
    const namespace = textAt(ref, "namespace") || namespaceOf(route);
    return [entry(fact.routesOf(parent, namespace, textAt(ref, "name")), object)];
  });
}

/** The kinds of parent a mesh route has; undefined for Gateways and strangers. */
export function parentKind(ref: Readonly<Record<string, unknown>>): "Service" | "ServiceEntry" | undefined {
  const group = typeof ref["group"] === "string" ? ref["group"] : GATEWAY_GROUP;
  const kind = textAt(ref, "kind") || "Gateway";
  if (kind === "Service" && (group === "" || group === "core")) return "Service";
  return kind === "ServiceEntry" && group === "networking.istio.io" ? "ServiceEntry" : undefined;
}

const ATTACHMENT_GROUPS: Readonly<Record<Attachment, readonly string[]>> = {
  Service: ["", "core"],
  ServiceEntry: ["networking.istio.io"],
  Gateway: [GATEWAY_GROUP],
  GatewayClass: [GATEWAY_GROUP],
  HTTPRoute: [GATEWAY_GROUP],
  GRPCRoute: [GATEWAY_GROUP],
};

/** `targetRefs`, or the one `targetRef` of older policies. */
export function targetRefsOf(object: KubeObject): readonly Readonly<Record<string, unknown>>[] {
  const several = recordsAt(object.spec, "targetRefs");
  const single = recordAt(object.spec, "targetRef");
  return several.length > 0 || Object.keys(single).length === 0 ? several : [single];
}

/** The kind a policy's target is of; undefined when it is none that policies may be attached to. */
export function attachmentKind(ref: Readonly<Record<string, unknown>>): Attachment | undefined {
  const kind = textAt(ref, "kind") as Attachment;
  return Object.hasOwn(ATTACHMENT_GROUPS, kind) && ATTACHMENT_GROUPS[kind].includes(textAt(ref, "group"))
    ? kind
    : undefined;
}

function attachmentFacts(policy: KubeObject): readonly Entry[] {
  const object = bare(policy);
  const targets = targetRefsOf(policy);
  if (policy.kind === "Telemetry" && targets.length === 0 && policy.spec?.["selector"] === undefined) {
    return [entry(fact.telemetryOf(namespaceOf(policy)), object)];
  }
  return targets.flatMap((ref): readonly Entry[] => {
    const kind = attachmentKind(ref);
    if (kind === undefined) return [];
    return [entry(fact.attachedTo(kind, namespaceOf(policy), textAt(ref, "name")), object)];
  });
}

function hostFacts(
  object: KubeObject,
  hosts: readonly string[],
  mesh: MeshSettings,
  keyOf: (host: string) => FactKey<KubeObject>,
): readonly Entry[] {
  const answer = bare(object);
  return hosts
    .filter((host) => host !== "")
    .map((host) => entry(keyOf(qualifiedHost(host, namespaceOf(object), mesh)), answer));
}

/** A name without dots is a Service of the object's own namespace; anything else is taken as written. */
export function qualifiedHost(host: string, namespace: string, mesh: MeshSettings): string {
  const lower = host.toLowerCase();
  return lower.includes(".") || lower === "*" ? lower : `${lower}.${namespace}.svc.${mesh.clusterDomain}`;
}

/** A hostname, then the wildcards that cover it, most specific first: `a.b.c`, `*.b.c`, `*.c`, `*`. */
export function hostPatterns(hostname: string): readonly string[] {
  const labels = hostname.split(".");
  return [hostname, ...labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join(".")}`), "*"];
}

/** Labels a Gateway's pods carry. */
export const gatewayNameOf = (labels: Labels): string | undefined => labels["gateway.networking.k8s.io/gateway-name"];
export const labelledGateway = (pod: KubeObject): string | undefined => {
  const name = gatewayNameOf(labelsOf(pod));
  return name === undefined || name === "" ? undefined : `${namespaceOf(pod)}/${name}`;
};
