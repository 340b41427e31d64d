/** What became of VirtualServices and DestinationRules. */
import { byAge, type KubeObject, namespaceOf, recordsAt, textAt, textsAt } from "@ambit/shared/kube";
import { accepted, type Condition, NO_STATUS, type ObjectStatus, rejected } from "../../condition.ts";
import type { FactReader } from "../../fact-store.ts";
import { fact } from "../../facts.ts";
import type { MeshSettings } from "../../mesh-settings.ts";
import { producersOf } from "../attached-routes.ts";
import type { ServiceFront } from "../derived-facts.ts";
import { policyOf } from "../destination-rule.ts";
import { qualifiedHost } from "../object-facts.ts";
import { credentialsFor, upstreamTls } from "../upstream-tls.ts";
import { shownList } from "./route-status.ts";
import { unresolvedDestinations } from "./virtual-destinations.ts";

/** Only services of its own namespace, or behind a waypoint of it, are routed by a VirtualService (case 55). */
export function virtualServiceStatus(reader: FactReader, object: KubeObject, mesh: MeshSettings): ObjectStatus {
  const gateways = textsAt(object.spec, "gateways");
  if (gateways.length > 0 && !gateways.includes("mesh")) return NO_STATUS;
  const namespace = namespaceOf(object);
  const fronts = textsAt(object.spec, "hosts").flatMap((host) =>
    reader.read(fact.fronts(qualifiedHost(host, namespace, mesh))),
  );
  const held = fronts.filter((front) => holdsFor(namespace, front));
  const foreign = fronts.filter((front) => !holdsFor(namespace, front));
  const enforcedBy = [...new Set(held.flatMap((front) => front.gateways))].sort();
  if (held.length === 0 && foreign.length > 0) {
    const hosts = foreign.map(({ hostname }) => hostname).join(", ");
    return {
      conditions: [
        rejected("NotAllowed", `spec.hosts ${hosts}: belong to other namespaces; it has no effect on waypoints`),
      ],
    };
  }
  if (fronts.length === 0) return { conditions: [hostNotFound(object)] };
  const unresolved = unresolvedDestinations(reader, object, held, mesh);
  return {
    conditions: [accepted(""), ...(unresolved ? [unresolved] : [])],
    ...(enforcedBy.length > 0 && { enforcedBy }),
  };
}

/** Said because a misspelt host would otherwise look like a route that holds. */
function hostNotFound(object: KubeObject): Condition {
  const hosts = shownList(textsAt(object.spec, "hosts"));
  const message = `spec.hosts ${hosts}: no Service or ServiceEntry has that name; it has no effect on waypoints`;
  return rejected("HostNotFound", message);
}

const holdsFor = (namespace: string, front: ServiceFront): boolean =>
  front.namespace === namespace || front.gateways.some((gateway) => producersOf(front, gateway).has(namespace));

/** Of several for one host in a namespace the oldest holds, the others say so (case 56). */
export function destinationRuleStatus(reader: FactReader, rule: KubeObject, mesh: MeshSettings): ObjectStatus {
  const namespace = namespaceOf(rule);
  const host = qualifiedHost(textAt(rule.spec, "host"), namespace, mesh);
  const [oldest] = [...reader.read(fact.destinationRules(host))]
    .filter((each) => namespaceOf(each) === namespace)
    .sort(byAge);
  const fronts = reader.read(fact.fronts(host));
  const enforcedBy = [...new Set(fronts.flatMap((front) => front.gateways))].sort();
  if (oldest && oldest.metadata.name !== rule.metadata.name) {
    const message = `DestinationRule ${namespace}/${oldest.metadata.name} is older and holds for ${host}; this one has no effect`;
    return { conditions: [rejected("Conflicted", message)] };
  }
  const conditions: readonly Condition[] = [tlsProblem(reader, rule, fronts[0]) ?? accepted("")];
  return { conditions, ...(enforcedBy.length > 0 && { enforcedBy }) };
}

function tlsProblem(reader: FactReader, rule: KubeObject, front: ServiceFront | undefined): Condition | undefined {
  const gateway = front?.gateways[0];
  if (!front || gateway === undefined) return undefined;
  const credentials = credentialsFor(reader, gateway, namespaceOf(rule));
  const subsets = ["", ...recordsAt(rule.spec, "subsets").map((each) => textAt(each, "name"))];
  for (const { port, protocol } of front.ports) {
    for (const subset of subsets) {
      const tls = upstreamTls(policyOf(rule, port, subset), front.hostname, protocol, credentials);
      if (tls.kind === "impossible") return rejected("Invalid", `${tls.reason}; requests there are answered 503`);
    }
  }
  return undefined;
}
