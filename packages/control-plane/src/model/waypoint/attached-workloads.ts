import type { Labels } from "@ambit/shared/kube";
import type { Workload } from "@ambit/shared/workload";
import type { FactReader, Facts } from "../fact-store.ts";
import { fact } from "../facts.ts";
import { bindWaypoint } from "../waypoint.ts";
import { isOurs } from "./service-front.ts";

/** Answers which waypoint stands in front of a workload itself, for tunnels opened to its own address. */
export function attachedWorkload(reader: FactReader, workload: Workload, labels: Labels): Facts {
  if (!workload.waypoint || workload.addresses.length === 0) return new Map();
  const subject = { traffic: "workload" as const, namespace: workload.namespace, labels };
  const binding = bindWaypoint(reader, subject, workload.network);
  if (binding.kind !== "bound" || !isOurs(reader, binding.gateway)) return new Map();
  return new Map([[fact.attachedWorkloads(binding.gateway), workload.addresses]]);
}
