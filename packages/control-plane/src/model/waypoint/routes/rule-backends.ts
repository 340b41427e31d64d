/** Where the requests of one rule go: its backends, each with its share. */
import { type KubeObject, namespaceOf, recordsAt } from "@ambit/shared/kube";
import type { FrontPort, ServiceFront } from "../derived-facts.ts";
import { weightOf } from "../numbers.ts";
import { type Backend, type BackendContext, backendOf, parentOf, type RouteIdentity } from "./backends.ts";

type Fields = Readonly<Record<string, unknown>>;

/** A route as it holds on one port of its parent at one waypoint. */
export interface RouteOnPort {
  readonly backends: BackendContext;
  readonly front: ServiceFront;
  readonly port: FrontPort;
  readonly route: KubeObject;
  /** Set for consumer routes: what of the producer's stands against their going to the parent. */
  readonly consumer?: { readonly skippedPolicy: string | undefined };
}

export interface WeightedBackend {
  readonly backend: Backend;
  readonly weight: number;
  readonly ref: Fields;
}

/** A rule that names no backends sends to its parent. */
export function ruleBackends(on: RouteOnPort, rule: Fields): readonly WeightedBackend[] {
  const { backends, front, port } = on;
  if (rule["backendRefs"] === undefined || rule["backendRefs"] === null) {
    return [{ backend: parentOf(backends, front, port.port, identityFor(on, rule, {})), weight: 1, ref: {} }];
  }
  return recordsAt(rule, "backendRefs").map((ref) => ({
    backend: backendOf(backends, ref, identityFor(on, rule, ref)),
    weight: weightOf(ref["weight"]) ?? 1,
    ref,
  }));
}

/** As whom a route refers to one backend of a rule. */
function identityFor({ route, front, port, consumer }: RouteOnPort, rule: Fields, ref: Fields): RouteIdentity {
  const identity = { kind: route.kind, namespace: namespaceOf(route) };
  if (!consumer) return identity;
  const changes = [...recordsAt(rule, "filters"), ...recordsAt(ref, "filters")].find(({ type }) => CHANGES.has(type));
  const refusal =
    consumer.skippedPolicy ??
    (changes && `filter ${changes["type"]} would change requests after its policies have judged them`);
  return { ...identity, consumer: { parent: front, port: port.port, refusal } };
}

/** Filters after which a request is no longer what policies saw. */
const CHANGES: ReadonlySet<unknown> = new Set(["RequestHeaderModifier", "URLRewrite"]);

/** As whom a route refers to what is not on the way of requests: mirrors need a grant for any other namespace. */
export function mirrorIdentity({ route, front, port, consumer }: RouteOnPort): RouteIdentity {
  const identity = { kind: route.kind, namespace: namespaceOf(route) };
  const refusal = "a consumer route would send it more requests than clients make";
  return consumer ? { ...identity, consumer: { parent: front, port: port.port, refusal } } : identity;
}
