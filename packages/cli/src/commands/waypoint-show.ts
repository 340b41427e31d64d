import { CLUSTER_RUNTIME, formatYaml, type KubeObject, renderWaypoint } from "@ambit/shared/kube";
import { LabClient } from "@ambit/shared/lab-client";
import { print, printJson } from "../output.ts";
import { renderWaypointList, renderWaypointStatus } from "../render/waypoints.ts";
import { findWaypoints, type WaypointQuery } from "../waypoint/wait-for-waypoint.ts";
import type { PlaceOptions, ShapeOptions } from "./waypoint.ts";
import { gatewayFrom } from "./waypoint-apply.ts";

/** Asks no lab: what it prints goes to any cluster. */
export function generateWaypoint(options: ShapeOptions & { readonly objects?: boolean }): void {
  const gateway = gatewayFrom(options);
  const made = options.objects ? renderWaypoint(gateway, CLUSTER_RUNTIME).objects.map(withoutOwner) : [];
  if (options.output !== "json") print(formatYaml(gateway, ...made));
  else printJson(options.objects ? { apiVersion: "v1", kind: "List", items: [gateway, ...made] } : gateway);
}

/** An owner is named by its uid, which only the cluster knows. */
function withoutOwner(object: KubeObject): KubeObject {
  const { ownerReferences: _owners, ...metadata } = object.metadata;
  return { ...object, metadata };
}

export async function listWaypoints(options: PlaceOptions): Promise<void> {
  const states = await findWaypoints(new LabClient(options.lab), queryOf(options));
  if (options.output === "json") printJson(states);
  else print(renderWaypointList(states, options.allNamespaces === true));
}

export async function showWaypointStatus(options: PlaceOptions & { readonly name?: string }): Promise<void> {
  const query = { ...queryOf(options), ...(options.name === undefined ? {} : { name: options.name }) };
  const states = await findWaypoints(new LabClient(options.lab), query);
  if (options.output === "json") printJson(states);
  else print(renderWaypointStatus(states));
}

const queryOf = ({ allNamespaces, namespace }: PlaceOptions): WaypointQuery => (allNamespaces ? {} : { namespace });
