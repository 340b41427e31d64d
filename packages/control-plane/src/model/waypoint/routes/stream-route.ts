/** TCPRoutes, TLSRoutes and the tcp and tls parts of VirtualServices: where the connections of a port go. */
import { isRecord, type KubeObject, recordsAt, textsAt } from "@ambit/shared/kube";
import type { FrontPort, ServiceFront } from "../derived-facts.ts";
import { vipName } from "../names.ts";
import { weightOf } from "../numbers.ts";
import type { Backend, BackendContext } from "./backends.ts";
import { destinationOf } from "./destinations.ts";
import { type RouteOnPort, ruleBackends } from "./rule-backends.ts";

export interface StreamTargets {
  /** At least one. */
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  readonly subUnits: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * The first rule of the route that holds decides; without one a VirtualService, without any the service itself.
 *
 * @param chosen  the TLSRoute or TCPRoute that holds on the port
 */
export function streamTargets(
  on: Omit<RouteOnPort, "route">,
  chosen: KubeObject | undefined,
  virtualServices: readonly KubeObject[],
): StreamTargets {
  const { front, port } = on;
  const tcp: BackendContext = { ...on.backends, protocol: "tcp" };
  const rule = chosen && recordsAt(chosen.spec, "rules")[0];
  if (chosen && rule) {
    const backends = ruleBackends({ ...on, backends: tcp, route: chosen }, rule);
    return weighted(backends.map(({ backend, ref }) => ({ backend, weight: ref["weight"] })));
  }
  const destinations = virtualServices.flatMap((each) => streamRule(each, front, port) ?? []).slice(0, 1);
  const [first] = destinations;
  if (first) {
    return weighted(
      recordsAt(first.rule, "route").map((each) => ({
        backend: destinationOf(tcp, each["destination"], first.object, port.port),
        weight: each["weight"],
      })),
    );
  }
  return { clusters: [{ name: vipName(port.port, "tcp", front.hostname), weight: 1 }], subUnits: [] };
}

function streamRule(
  object: KubeObject,
  front: ServiceFront,
  port: FrontPort,
): { readonly object: KubeObject; readonly rule: Fields } | undefined {
  const tls = recordsAt(object.spec, "tls").find((rule) =>
    matchesOf(rule).some((match) => namesPort(match, port) && textsAt(match, "sniHosts").includes(front.hostname)),
  );
  const tcp = recordsAt(object.spec, "tcp").find((rule) => {
    const matches = matchesOf(rule);
    return matches.length === 0 || matches.some((match) => namesPort(match, port));
  });
  const rule = tls ?? tcp;
  return rule && { object, rule };
}

/** Matches by source labels are for sidecars: they are never true here. */
const matchesOf = (rule: Fields): readonly Fields[] =>
  recordsAt(rule, "match").filter((match) => !isRecord(match["sourceLabels"]));

const namesPort = (match: Fields, { port }: FrontPort): boolean =>
  match["port"] === undefined || match["port"] === port;

function weighted(targets: readonly { readonly backend: Backend; readonly weight: unknown }[]): StreamTargets {
  const all = targets.map(({ backend, weight }) => ({
    name: backend.cluster,
    weight: weightOf(weight) ?? (targets.length === 1 ? 100 : 1),
    subUnits: backend.subUnits,
  }));
  const used = all.filter(({ weight }) => weight > 0);
  return {
    // Nobody to send to: a cluster that does not exist, so that the connection is refused.
    clusters:
      used.length > 0 ? used.map(({ name, weight }) => ({ name, weight })) : [{ name: "UnknownService", weight: 1 }],
    subUnits: used.flatMap(({ subUnits }) => subUnits),
  };
}
