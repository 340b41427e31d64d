/** Backends of a route as clusters of one waypoint. */
import { recordsAt, textAt } from "@ambit/shared/kube";
import type { FactReader } from "../../fact-store.ts";
import { fact } from "../../facts.ts";
import type { MeshSettings } from "../../mesh-settings.ts";
import type { ServiceFront } from "../derived-facts.ts";
import { outboundName, UNKNOWN_SERVICE, vipName } from "../names.ts";
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

const nowhere = (reason: BackendProblem, message: string): Backend => ({
  cluster: UNKNOWN_SERVICE,
  subUnits: [],
  problem: { reason, message },
});

export interface RouteIdentity {
  readonly kind: string;
  readonly namespace: string;
}

/** One `backendRef` of a Gateway API route. Total. */
export function backendOf(context: BackendContext, ref: Fields, route: RouteIdentity): Backend {
  const group = textAt(ref, "group");
  const kind = textAt(ref, "kind") || "Service";
  const name = textAt(ref, "name");
  const namespace = textAt(ref, "namespace") || route.namespace;
  const isService = kind === "Service" && (group === "" || group === "core");
  const isHost = kind === "Hostname" && group === "networking.istio.io";
  if (!isService && !isHost) {
    return nowhere("InvalidKind", `${group === "" ? "core" : group}/${kind}: expected a Service or a Hostname`);
  }
  const shown = `${kind} ${namespace}/${name}`;
  if (isService && namespace !== route.namespace && !isGranted(context.reader, route, { kind, name, namespace })) {
    return nowhere("RefNotPermitted", `${shown}: no ReferenceGrant in ${namespace} permits it`);
  }
  const front = isService
    ? context.reader.read(fact.front(`${namespace}/${name}.${namespace}.svc.${context.mesh.clusterDomain}`))[0]
    : frontByHost(context.reader, name, route.namespace);
  if (!front) return nowhere("BackendNotFound", `${shown}: there is none`);
  const { port } = ref;
  if (typeof port !== "number") return nowhere("UnsupportedValue", `${shown}: a port is needed`);
  if (!front.ports.some((each) => each.port === port)) return nowhere("BackendNotFound", `${shown}: no port ${port}`);
  return clusterFor(context, front, port);
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
        textAt(each, "group") === "gateway.networking.k8s.io" &&
        textAt(each, "kind") === from.kind &&
        textAt(each, "namespace") === from.namespace,
    );
    const toMatches = recordsAt(grant.spec, "to").some((each) => {
      const name = textAt(each, "name");
      return textAt(each, "group") === "" && textAt(each, "kind") === to.kind && (name === "" || name === to.name);
    });
    return fromMatches && toMatches;
  });
}
