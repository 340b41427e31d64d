/** What became of a mesh route, parent by parent. Spec: Gateway API RouteParentStatus; waypoint dialect, section 7.5. */
import {
  byAge,
  isRecord,
  type KubeObject,
  namespaceOf,
  recordsAt,
  textAt,
  WAYPOINT_CONTROLLERS,
} from "@ambit/shared/kube";
import type { Condition, ObjectStatus, StatusPart } from "../../condition.ts";
import { NO_STATUS } from "../../condition.ts";
import type { FactReader } from "../../fact-store.ts";
import { fact } from "../../facts.ts";
import type { MeshSettings } from "../../mesh-settings.ts";
import { HTTP_KINDS, parentRefFor, producersOf } from "../attached-routes.ts";
import type { FrontPort, ServiceFront } from "../derived-facts.ts";
import { parentKind } from "../object-facts.ts";
import { backendOf } from "../routes/backends.ts";
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
  const accepted = acceptedCondition(context, ref, front);
  const problems = ruleProblems(context.route);
  return {
    fields: { parentRef: ref, controllerName: CONTROLLER },
    conditions: [
      accepted,
      resolvedRefs(context, front),
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

function acceptedCondition(context: RouteContext, ref: Fields, front: ServiceFront | undefined): Condition {
  const { route } = context;
  if (!front) return refused("NoMatchingParent", `there is no ${textAt(ref, "kind")} ${textAt(ref, "name")}`);
  const ports = front.ports.filter((port) => parentRefFor({ ...route, spec: { parentRefs: [ref] } }, front, port));
  if (ports.length === 0) return refused("NoMatchingParent", "the parent has no such port");
  const producers = new Set(front.gateways.flatMap((gateway) => [...producersOf(front, gateway)]));
  if (!producers.has(namespaceOf(route)) && namespaceOf(route) !== front.namespace) {
    const message = `only routes of namespace ${front.namespace} or of its waypoint's hold for it; this one has no effect`;
    return refused("NotAllowedByParent", message);
  }
  const winner = winnerOf(context, front, ports);
  if (winner)
    return refused("Conflicted", `${winner.kind} ${namespaceOf(winner)}/${winner.metadata.name} holds there instead`);
  return { type: "Accepted", status: "True", reason: "Accepted", message: "" };
}

/** A route that keeps this one from having effect on any of the ports: of a stronger kind, or the older of two TCPRoutes. */
function winnerOf(
  { reader, route }: RouteContext,
  front: ServiceFront,
  ports: readonly FrontPort[],
): KubeObject | undefined {
  const others = reader
    .read(fact.routesOf(front.kind, front.namespace, front.name))
    .filter((each) => !isSame(each, route));
  const beats = HTTP_KINDS.includes(route.kind) ? HTTP_KINDS.slice(0, HTTP_KINDS.indexOf(route.kind)) : STREAM_BEATS;
  const winners = ports.map((port) =>
    others
      .filter((each) => parentRefFor(each, front, port))
      .sort(byAge)
      .find((each) => {
        if (HTTP_KINDS.includes(route.kind)) return beats.includes(each.kind);
        return (
          (route.kind === "TCPRoute" && each.kind === "TLSRoute") ||
          (each.kind === route.kind && byAge(each, route) < 0)
        );
      }),
  );
  return winners.every((each) => each !== undefined) ? winners[0] : undefined;
}

const STREAM_BEATS: readonly string[] = [];

const isSame = (a: KubeObject, b: KubeObject): boolean =>
  a.kind === b.kind && a.metadata.name === b.metadata.name && namespaceOf(a) === namespaceOf(b);

function resolvedRefs({ reader, route, mesh }: RouteContext, front: ServiceFront | undefined): Condition {
  const identity = { kind: route.kind, namespace: namespaceOf(route) };
  const backends = { reader, mesh, gateway: front?.gateways[0] ?? "", protocol: "http" as const };
  const refs = recordsAt(route.spec, "rules").flatMap((rule) => [
    ...recordsAt(rule, "backendRefs"),
    ...mirrorRefs(rule),
  ]);
  const problems = refs.flatMap((ref) => backendOf(backends, ref, identity).problem ?? []);
  const [first] = problems;
  if (!first) return { type: "ResolvedRefs", status: "True", reason: "ResolvedRefs", message: "" };
  const message = `${shownList(problems.map((each) => each.message))}; their share of requests is answered 500`;
  return { type: "ResolvedRefs", status: "False", reason: first.reason, message };
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
  const message = `${kind} ${namespace}/${name} has no waypoint, so the route has no effect`;
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
