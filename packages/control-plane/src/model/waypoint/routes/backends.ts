/** Backends of a route as clusters of one waypoint. */
import { recordsAt, textAt } from "@ambit/shared/kube";
import type { FactReader } from "../../fact-store.ts";
import { fact } from "../../facts.ts";
import type { MeshSettings } from "../../mesh-settings.ts";
import type { ServiceFront } from "../derived-facts.ts";
import { outboundName, POD_SUBSET, UNKNOWN_SERVICE, vipName } from "../names.ts";
import { subUnit } from "../sub-unit-names.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface BackendContext {
  readonly reader: FactReader;
  readonly mesh: MeshSettings;
  /** `namespace/name` of the waypoint's Gateway. */
  readonly gateway: string;
  readonly protocol: "http" | "tcp";
}

/** Where a backend's traffic goes, or why it goes nowhere. */
export interface Backend {
  readonly cluster: string;
  /** What is needed for that cluster to exist, when the waypoint does not have it anyway. */
  readonly subUnits: readonly string[];
  readonly front?: ServiceFront;
  readonly problem?: { readonly reason: BackendProblem; readonly message: string };
}

export type BackendProblem = "InvalidKind" | "BackendNotFound" | "RefNotPermitted" | "UnsupportedValue";

/** The cluster of a service port as this waypoint calls it. */
export function clusterFor(context: BackendContext, front: ServiceFront, port: number, subset = ""): Backend {
  if (front.gateways.includes(context.gateway)) {
    return { cluster: vipName(port, context.protocol, front.hostname, subset), subUnits: [], front };
  }
  return {
    cluster: outboundName(port, front.hostname, subset),
    subUnits: [subUnit("outbound", context.gateway, front.key, String(port))],
    front,
  };
}

export const nowhere = (reason: BackendProblem, message: string): Backend => ({
  cluster: UNKNOWN_SERVICE,
  subUnits: [],
  problem: { reason, message },
});

export interface RouteIdentity {
  /** Default: the Gateway API's. */
  readonly group?: string;
  readonly kind: string;
  readonly namespace: string;
  /** Set for a consumer route, which another namespace's waypoint carries out. */
  readonly consumer?: ConsumerReach;
}

/**
 * Where a consumer route may send without a grant: to pods of its own namespace, and to the parent, as clients do
 * anyway. The waypoint is trusted by the services behind it, so nobody else may choose where it goes.
 */
export interface ConsumerReach {
  readonly parent: ServiceFront;
  /** That requests were sent to. */
  readonly port: number;
  /** Why not even to the parent; undefined when it may. */
  readonly refusal: string | undefined;
}

/** What a rule without `backendRefs` sends to. Spec: GEP-1294. */
export function parentOf(context: BackendContext, parent: ServiceFront, port: number, route: RouteIdentity): Backend {
  const problem = route.consumer && withoutGrant(context, route, targetOf(parent), port);
  return problem === undefined ? clusterFor(context, parent, port) : nowhere("RefNotPermitted", problem);
}

const targetOf = ({ kind, name, namespace }: ServiceFront): Target => ({ kind, name, namespace });

/** One `backendRef` of a Gateway API route. Total. */
export function backendOf(context: BackendContext, ref: Fields, route: RouteIdentity): Backend {
  const group = textAt(ref, "group");
  const kind = textAt(ref, "kind") || "Service";
  if (kind === "Service" && (group === "" || group === "core")) {
    const [name, namespace] = [textAt(ref, "name"), textAt(ref, "namespace") || route.namespace];
    const refused = withoutGrant(context, route, { kind, name, namespace }, ref["port"]);
    if (refused !== undefined) return nowhere("RefNotPermitted", refused);
    const hostname = `${name}.${namespace}.svc.${context.mesh.clusterDomain}`;
    const [front] = context.reader.read(fact.front(`${namespace}/${hostname}`));
    return toPort(context, route, `Service ${namespace}/${name}`, front, ref["port"]);
  }
  if (kind === "Hostname" && group === "networking.istio.io") {
    const name = textAt(ref, "name");
    const front = frontByHost(context.reader, name, route.namespace);
    const refused =
      front &&
      (route.consumer ? hostProblem(context, route, front, ref["port"]) : neighbourProblem(context, route, front));
    if (refused !== undefined) return nowhere("RefNotPermitted", refused);
    return toPort(context, route, `Hostname ${name}`, front, ref["port"]);
  }
  return nowhere("InvalidKind", `${group === "" ? "core" : group}/${kind}: expected a Service or a Hostname`);
}

function toPort(
  context: BackendContext,
  route: RouteIdentity,
  shown: string,
  front: ServiceFront | undefined,
  port: unknown,
): Backend {
  if (!front) return nowhere("BackendNotFound", `${shown}: there is none`);
  if (typeof port !== "number") return nowhere("UnsupportedValue", `${shown}: a port is needed`);
  if (!front.ports.some((each) => each.port === port)) return nowhere("BackendNotFound", `${shown}: no port ${port}`);
  return route.consumer && front.namespace === route.namespace
    ? podsOf(context, front, port)
    : clusterFor(context, front, port);
}

/** Its pods alone: endpoints that somebody wrote down could be anything that the waypoint reaches. */
function podsOf(context: BackendContext, front: ServiceFront, port: number): Backend {
  if (front.gateways.includes(context.gateway)) return clusterFor(context, front, port);
  return {
    cluster: outboundName(port, front.hostname, POD_SUBSET),
    subUnits: [subUnit("outbound", context.gateway, front.key, String(port), POD_SUBSET)],
    front,
  };
}

/** Why the reference is not permitted; undefined when it is. */
function withoutGrant(
  context: BackendContext,
  route: RouteIdentity,
  target: Target,
  port: unknown,
): string | undefined {
  const { kind, namespace, name } = target;
  if (namespace === route.namespace || isGranted(context.reader, route, target)) return undefined;
  const shown = `${kind} ${namespace}/${name}`;
  const { parent, port: asked, refusal } = route.consumer ?? {};
  if (parent?.kind !== kind || parent.namespace !== namespace || parent.name !== name) {
    return route.consumer && kind !== "Service"
      ? `${shown}: routes of other namespaces may not send there`
      : `${shown}: no ReferenceGrant in ${namespace} permits it`;
  }
  if (port !== asked) {
    return `${shown}: no ReferenceGrant in ${namespace} permits to send what came for port ${asked} to port ${port}`;
  }
  return refusal && `${shown}: ${refusal}, and no ReferenceGrant in ${namespace} permits it`;
}

/** A name may mean anything: a host outside of the mesh, too. */
function hostProblem(
  context: BackendContext,
  route: RouteIdentity,
  front: ServiceFront,
  port: unknown,
): string | undefined {
  const target = targetOf(front);
  if (front.namespace !== route.namespace) return withoutGrant(context, route, target, port);
  return front.kind === "Service"
    ? undefined
    : `${target.kind} ${target.namespace}/${target.name}: only Services are backends of routes for other namespaces' services`;
}

/**
 * Why a route may not send by name to a service of another namespace; undefined when it may. One behind this very
 * waypoint trusts it, but its policies judge here what was sent to the service, not what a route leads to it. The owners
 * of the waypoint may.
 */
export function neighbourProblem(
  context: BackendContext,
  route: RouteIdentity,
  front: ServiceFront,
): string | undefined {
  const isNeighbour = front.namespace !== route.namespace && front.gateways.includes(context.gateway);
  const isOwner = context.gateway.startsWith(`${route.namespace}/`);
  return isNeighbour && !isOwner ? withoutGrant(context, route, targetOf(front), undefined) : undefined;
}

/** Whom a namespace means by a hostname: its own, else the one everybody sees. */
export function frontByHost(reader: FactReader, hostname: string, namespace: string): ServiceFront | undefined {
  const fronts = reader.read(fact.fronts(hostname));
  return fronts.find((front) => front.namespace === namespace) ?? fronts.find(({ canonical }) => canonical);
}

interface Target {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
}

/**
 * Whether the target's namespace permits the reference. A mesh route could do without, for its clients may go there
 * themselves; but behind a waypoint the target sees the waypoint's identity, not theirs.
 */
function isGranted(reader: FactReader, from: RouteIdentity, to: Target): boolean {
  return reader.read(fact.referenceGrants(to.namespace)).some((grant) => {
    const fromMatches = recordsAt(grant.spec, "from").some(
      (each) =>
        textAt(each, "group") === (from.group ?? "gateway.networking.k8s.io") &&
        textAt(each, "kind") === from.kind &&
        textAt(each, "namespace") === from.namespace,
    );
    const toMatches = recordsAt(grant.spec, "to").some((each) => {
      const name = textAt(each, "name");
      const isKind = textAt(each, "group") === groupOf(to.kind) && textAt(each, "kind") === to.kind;
      return isKind && (name === "" || name === to.name);
    });
    return fromMatches && toMatches;
  });
}

const groupOf = (kind: string): string => (kind === "ServiceEntry" ? "networking.istio.io" : "");
