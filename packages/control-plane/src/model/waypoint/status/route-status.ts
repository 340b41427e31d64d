/** What became of a mesh route, parent by parent. Spec: Gateway API RouteParentStatus. */
import {
  isRecord,
  type KubeObject,
  namespaceOf,
  objectKey,
  recordsAt,
  textAt,
  WAYPOINT_CONTROLLERS,
} from "@ambit/shared/kube";
import type { Condition, ObjectStatus, StatusPart } from "../../condition.ts";
import { NO_STATUS } from "../../condition.ts";
import type { FactReader } from "../../fact-store.ts";
import { fact } from "../../facts.ts";
import type { MeshSettings } from "../../mesh-settings.ts";
import { parentRefFor, routesAt } from "../attached-routes.ts";
import {
  type Bound,
  consumerRoutes,
  isConsumer,
  MAX_NAMESPACE_BYTES,
  MAX_SERVICE_BYTES,
  skippedPolicy,
} from "../consumer-routes.ts";
import type { FrontPort, ServiceFront } from "../derived-facts.ts";
import { holdingRoutes, misfit } from "../holding-routes.ts";
import { parentKind } from "../object-facts.ts";
import { type Backend, backendOf } from "../routes/backends.ts";
import { withLiftedFilters } from "../routes/lifted-filters.ts";
import { mirrorIdentity, type RouteOnPort, ruleBackends } from "../routes/rule-backends.ts";
import { ruleProblems } from "./rule-problems.ts";

type Fields = Readonly<Record<string, unknown>>;

const CONTROLLER = WAYPOINT_CONTROLLERS["ambit-waypoint"] ?? "";
const MAX_SHOWN = 3;

/** Parents that are Gateways are other controllers' business. */
export function routeStatus(reader: FactReader, route: KubeObject, mesh: MeshSettings): ObjectStatus {
  const parents = recordsAt(route.spec, "parentRefs").flatMap((ref) => {
    const kind = parentKind(ref);
    return kind === undefined ? [] : [parentStatus({ reader, route, mesh }, ref, kind)];
  });
  return parents.length === 0 ? NO_STATUS : { conditions: [], parents };
}

interface RouteContext {
  readonly reader: FactReader;
  readonly route: KubeObject;
  readonly mesh: MeshSettings;
}

function parentStatus(context: RouteContext, ref: Fields, kind: "Service" | "ServiceEntry"): StatusPart {
  const front = frontOf(context, ref, kind);
  const place = front && placeOf(context, ref, front);
  const accepted = acceptedCondition(context.route, ref, place);
  const targets = place ? targetsOf(context, place) : [];
  const problems = [...ruleProblems(context.route), ...(place ? closedBackends(context, place.front, targets) : [])];
  return {
    fields: { parentRef: ref, controllerName: CONTROLLER },
    conditions: [
      accepted,
      resolvedRefs(place ? targets : unplacedTargets(context)),
      ...(front ? [resolvedWaypoints(front)] : []),
      ...(problems.length > 0 ? [partiallyInvalid(problems)] : []),
    ],
    ...(front && accepted.status === "True" && front.gateways.length > 0 && { enforcedBy: front.gateways }),
  };
}

function frontOf({ reader, route, mesh }: RouteContext, ref: Fields, kind: "Service" | "ServiceEntry") {
  const namespace = textAt(ref, "namespace") || namespaceOf(route);
  const name = textAt(ref, "name");
  if (kind === "Service")
    return reader.read(fact.front(`${namespace}/${name}.${namespace}.svc.${mesh.clusterDomain}`))[0];
  return reader.read(fact.frontsOf(`ServiceEntry/${namespace}/${name}`)).flat()[0];
}

const refused = (reason: string, message: string): Condition => ({
  type: "Accepted",
  status: "False",
  reason,
  message,
});

/** The routes that one parentRef competes with, and the ports that it means. */
interface Place {
  readonly front: ServiceFront;
  /** Those that the parentRef means. */
  readonly ports: readonly FrontPort[];
  /** Holds for clients of its own namespace alone. */
  readonly consumer: boolean;
  /** Routes of the same side, itself among them. */
  readonly side: readonly KubeObject[];
  /** Why the route has no place there. */
  readonly beyond?: Bound;
}

function placeOf({ reader, route }: RouteContext, ref: Fields, front: ServiceFront): Place {
  const gateways = front.gateways.length > 0 ? front.gateways : [`${front.namespace}/`];
  const ports = front.ports.filter((port) => parentRefFor({ ...route, spec: { parentRefs: [ref] } }, front, port));
  const isForeign = (each: KubeObject): boolean => gateways.every((gateway) => isConsumer(each, front, gateway));
  if (!isForeign(route)) {
    const all = reader.read(fact.routesOf(front.kind, front.namespace, front.name));
    return { front, ports, consumer: false, side: all.filter((each) => !isForeign(each)) };
  }
  const { groups, beyond } = consumerRoutes(reader, front, gateways[0] ?? "");
  const side = groups.find(({ namespace }) => namespace === namespaceOf(route))?.routes ?? [];
  const why = beyond.get(objectKey(route));
  return { front, ports, consumer: true, side, ...(why && { beyond: why }) };
}

function acceptedCondition(route: KubeObject, ref: Fields, place: Place | undefined): Condition {
  if (!place) return refused("NoMatchingParent", `there is no ${textAt(ref, "kind")} ${textAt(ref, "name")}`);
  const { front, ports, side, consumer, beyond } = place;
  if (ports.length === 0) return refused("NoMatchingParent", "the parent has no such port");
  if (beyond) return refused("LimitExceeded", limitMessage(route, front, beyond));
  const misfits = ports.flatMap((port) => misfit(route, front, port) ?? []);
  if (misfits.length === ports.length) return refused("NoMatchingParent", shownList(misfits));
  const losses = ports.flatMap((port) => {
    const held = holdingRoutes(routesAt(side, front, port), front, port);
    const [winner] = held;
    return winner && !held.some((each) => isSame(each, route)) ? [{ port, winner }] : [];
  });
  const conflicts = losses.map(({ port, winner }) => {
    const name = `${winner.kind} ${namespaceOf(winner)}/${winner.metadata.name}`;
    return `port ${port.port}: ${name} holds there instead`;
  });
  if (losses.length + misfits.length >= ports.length)
    return refused("Conflicted", shownList([...conflicts, ...misfits]));
  const scope = consumer ? [`holds for clients of namespace ${namespaceOf(route)} alone`] : [];
  const message = shownList([...scope, ...conflicts, ...misfits]);
  return { type: "Accepted", status: "True", reason: "Accepted", message };
}

function limitMessage(route: KubeObject, front: ServiceFront, beyond: Bound): string {
  const [whose, bytes] =
    beyond === "namespace"
      ? [`of namespace ${namespaceOf(route)}`, MAX_NAMESPACE_BYTES]
      : ["of all other namespaces", MAX_SERVICE_BYTES];
  return `routes ${whose} for ${front.kind} ${front.namespace}/${front.name} are larger than ${bytes / 1024} KiB together; older ones hold, this one has no effect`;
}

const isSame = (a: KubeObject, b: KubeObject): boolean =>
  a.kind === b.kind && a.metadata.name === b.metadata.name && namespaceOf(a) === namespaceOf(b);

function resolvedRefs(targets: readonly Backend[]): Condition {
  const problems = targets.flatMap(({ problem }) => problem ?? []);
  const [first] = problems;
  if (!first) return { type: "ResolvedRefs", status: "True", reason: "ResolvedRefs", message: "" };
  const message = `${shownList(problems.map((each) => each.message))}; their share of requests is answered 500`;
  return { type: "ResolvedRefs", status: "False", reason: first.reason, message };
}

/** Whatever the route sends to, mirrors among it. */
function targetsOf({ reader, route, mesh }: RouteContext, { front, ports, consumer }: Place): readonly Backend[] {
  const gateway = front.gateways[0] ?? "";
  const backends = { reader, mesh, gateway, protocol: "http" as const };
  // What a producer's route may name does not depend on the port.
  return (consumer ? ports : ports.slice(0, 1)).flatMap((port) => {
    const on: RouteOnPort = {
      backends,
      front,
      port,
      route,
      ...(consumer && { consumer: { skippedPolicy: skippedPolicy(backends, front, port) } }),
    };
    return recordsAt(route.spec, "rules")
      .map(withLiftedFilters)
      .flatMap((rule) => [
        ...ruleBackends(on, rule).map(({ backend }) => backend),
        ...mirrorRefs(rule).map((ref) => backendOf(backends, ref, mirrorIdentity(on))),
      ]);
  });
}

/** Of a route whose parent does not exist. */
function unplacedTargets({ reader, route, mesh }: RouteContext): readonly Backend[] {
  const identity = { kind: route.kind, namespace: namespaceOf(route) };
  const backends = { reader, mesh, gateway: "", protocol: "http" as const };
  return recordsAt(route.spec, "rules")
    .flatMap((rule) => [...recordsAt(rule, "backendRefs"), ...mirrorRefs(rule)])
    .map((ref) => backendOf(backends, ref, identity));
}

/** Backends whose pods let in another waypoint alone: this one is refused there. */
function closedBackends(
  { reader, mesh }: RouteContext,
  parent: ServiceFront,
  targets: readonly Backend[],
): readonly string[] {
  const own = parent.gateways.map((gateway) => {
    const [namespace = "", name = ""] = gateway.split("/");
    const account = reader.read(fact.gateway(namespace, name))[0]?.account ?? "";
    return `${mesh.trustDomain}/ns/${namespace}/sa/${account}`;
  });
  return targets.flatMap(({ front }) => {
    const requirement = front && reader.read(fact.requirement(front.key))[0];
    if (!requirement || own.length === 0 || own.some((each) => requirement.principals.includes(each))) return [];
    const shown = `${front.kind} ${front.namespace}/${front.name}`;
    return [`${shown} is behind a waypoint of its own and refuses ${parent.gateways.join(", ")}: requests to it fail`];
  });
}

const mirrorRefs = (rule: Fields): readonly Fields[] =>
  recordsAt(rule, "filters").flatMap((filter) => {
    const mirror = filter["requestMirror"];
    return isRecord(mirror) && isRecord(mirror["backendRef"]) ? [mirror["backendRef"]] : [];
  });

/** Istio's condition: whether anything is there to carry the route out. */
function resolvedWaypoints({ gateways, kind, namespace, name }: ServiceFront): Condition {
  const type = "ResolvedWaypoints";
  if (gateways.length > 0) return { type, status: "True", reason: "ResolvedWaypoints", message: gateways.join(", ") };
  const message = `${kind} ${namespace}/${name} has no waypoint, so the route has no effect: routes hold at the waypoint of their parent, which label istio.io/use-waypoint on it or on namespace ${namespace} names`;
  return { type, status: "False", reason: "WaypointMissing", message };
}

const partiallyInvalid = (problems: readonly string[]): Condition => ({
  type: "PartiallyInvalid",
  status: "True",
  reason: "UnsupportedValue",
  message: shownList(problems),
});

export function shownList(texts: readonly string[]): string {
  const distinct = [...new Set(texts)];
  const more = distinct.length > MAX_SHOWN ? ` and ${distinct.length - MAX_SHOWN} more` : "";
  return `${distinct.slice(0, MAX_SHOWN).join("; ")}${more}`;
}
