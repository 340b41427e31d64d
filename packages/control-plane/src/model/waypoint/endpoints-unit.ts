import { ClusterLoadAssignmentSchema } from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint";
import { matchesLabels } from "@ambit/shared/kube";
import type { CompiledObject, EnvoyResource } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import { type ClusterName, clusterNames } from "./clusters-unit.ts";
import type { FrontPort, ServiceFront } from "./derived-facts.ts";
import { policyOf, type RuleLookup, ruleFor, subsetsOf } from "./destination-rule.ts";
import { localities } from "./endpoints.ts";
import { localityPlan, type Position } from "./locality.ts";
import { membersOf } from "./members.ts";
import { envoyResource } from "./proto.ts";

/** Endpoints as replicas on one node are told them: what is near depends on where one is. */
export const endpointScope = (gateway: string, node: string): string => `${gateway}@${node}`;

/** The endpoints of a service at a waypoint, once for each node its replicas run on. @param args  gateway, service */
export function compileEndpoints(reader: FactReader, mesh: MeshSettings, args: readonly string[]): CompiledObject {
  const [gateway = "", service = ""] = args;
  const [front] = reader.read(fact.front(service));
  if (front?.discovery !== "eds") return { resources: [], status: NO_STATUS };
  const lookup: RuleLookup = { reader, mesh, gateway };
  const resources = front.ports.flatMap((port) =>
    endpointResources(lookup, front, port, clusterNames(lookup, front, port)),
  );
  return { resources, status: NO_STATUS };
}

/** The endpoints of these clusters of a port, for each node. */
export function endpointResources(
  lookup: RuleLookup,
  front: ServiceFront,
  port: FrontPort,
  clusters: readonly ClusterName[],
): readonly EnvoyResource[] {
  const { reader, gateway } = lookup;
  const rule = ruleFor(lookup, front);
  const subsets = new Map(subsetsOf(rule).map(({ name, labels }) => [name, labels]));
  const members = membersOf(reader.read(fact.members(front.key)));
  const positions = positionsOf(lookup);
  return clusters.flatMap(({ name, subset, outbound, podsOnly }) => {
    const policy = policyOf(rule, port.port, subset);
    const chosen = members.filter(
      ({ labels, isPod }) => (isPod || !podsOnly) && matchesLabels(subsets.get(subset) ?? {}, labels),
    );
    return positions.map((position) => {
      const plan = localityPlan(policy, front.locality, position);
      const endpoints = localities({ front, port: port.port, members: chosen, outbound, plan });
      const scope = endpointScope(gateway, position.node);
      return envoyResource(scope, ClusterLoadAssignmentSchema, name, { clusterName: name, endpoints });
    });
  });
}

/** Where the replicas of the waypoint are. */
function positionsOf({ reader, mesh, gateway }: RuleLookup): readonly Position[] {
  const nodes = [...new Set(reader.read(fact.waypointNodes(gateway)))].sort();
  const network = reader.read(fact.network())[0] ?? mesh.network;
  return nodes.map((node) => ({
    node,
    network,
    locality: reader.read(fact.localityOfNode(node))[0] ?? { region: "", zone: "", subzone: "" },
  }));
}
