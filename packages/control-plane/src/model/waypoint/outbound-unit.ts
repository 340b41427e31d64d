import type { CompiledObject } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import { build, outboundClusterNames, podClusterNames, resourcesOf } from "./clusters-unit.ts";
import type { RuleLookup } from "./destination-rule.ts";
import { endpointResources } from "./endpoints-unit.ts";
import { POD_SUBSET } from "./names.ts";

/**
 * A service port that a waypoint's routes name though another serves it, with its subsets.
 *
 * @param args  gateway, service, port, and `POD_SUBSET` when its pods alone are meant
 */
export function compileOutbound(reader: FactReader, mesh: MeshSettings, args: readonly string[]): CompiledObject {
  const [gateway = "", service = "", portText = "", subset = ""] = args;
  const [front] = reader.read(fact.front(service));
  const port = front?.ports.find((each) => String(each.port) === portText);
  if (!front || !port) return { resources: [], status: NO_STATUS };
  const lookup: RuleLookup = { reader, mesh, gateway };
  const names = subset === POD_SUBSET ? podClusterNames(front, port) : outboundClusterNames(lookup, front, port);
  const built = names.flatMap(build(lookup, front, port));
  const endpoints = front.discovery === "eds" ? endpointResources(lookup, front, port, names) : [];
  return { resources: [...resourcesOf(gateway, built), ...endpoints], status: NO_STATUS };
}
