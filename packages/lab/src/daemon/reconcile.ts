/** One pass of all controllers over the objects. Synchronous; what takes time is started elsewhere by what it leaves behind. */

import { type KubeObject, objectKey, type WaypointRuntime, waypointClasses } from "@ambit/shared/kube";
import { type IndexPool, serviceIps } from "../cluster/addresses.ts";
import { missingDefaults, serviceNeeds, withServiceAddresses } from "../cluster/defaults.ts";
import { nameSuffix, stepDeployments } from "../cluster/deployments.ts";
import { gatewayAddresses, stepGateways, waypointGateways } from "../cluster/gateways.ts";
import { type Pod, parsePod } from "../cluster/pod.ts";
import { schedulePods } from "../cluster/schedule.ts";
import type { ObjectActions } from "../store/object-actions.ts";
import type { ObjectStore } from "../store/object-store.ts";

export interface ControllerInit {
  readonly store: ObjectStore;
  readonly actions: ObjectActions;
  readonly random: () => number;
  /** Host parts of service addresses, and node ports. */
  readonly serviceIndexes: IndexPool;
  readonly nodePorts: IndexPool;
  /** How waypoints run here; undefined = nobody brings them up. */
  readonly waypoints: WaypointRuntime | undefined;
  /** Told once of each thing in the objects that a controller passed over. */
  readonly onProblem: (text: string) => void;
}

export function reconcile(init: ControllerInit): void {
  const { store, actions } = init;
  actions.createSuccessors();
  const lasting = store.list().filter((object) => object.metadata.deletionTimestamp === undefined);
  for (const object of missingDefaults(lasting)) actions.create(object);
  if (init.waypoints) reconcileGateways(lasting, init.waypoints, init);
  for (const service of store.list("Service")) assignServiceAddresses(service, init);
  const step = stepDeployments(store.list("Deployment"), podsOf(store), () => nameSuffix(init.random));
  for (const object of step.create) actions.create(object);
  for (const pod of step.remove) actions.removeObject(pod.object);
  const nodes = store.list("Node");
  evictFromMissingNodes(nodes, init);
  for (const [uid, node] of schedulePods(podsOf(store), nodes)) bind(uid, node, store);
}

/** Deployments of waypoints come before the pass over Deployments, and their addresses once pods are ready. */
function reconcileGateways(objects: readonly KubeObject[], runtime: WaypointRuntime, init: ControllerInit): void {
  const { store, actions, onProblem } = init;
  const names = new Set(objects.filter(({ kind }) => kind === "GatewayClass").map(({ metadata }) => metadata.name));
  for (const made of waypointClasses()) if (!names.has(made.metadata.name)) actions.create(made);
  const step = stepGateways(objects, runtime);
  for (const object of step.remove) actions.removeObject(object);
  for (const object of step.ensure) actions.ensure(object);
  for (const problem of step.problems) onProblem(problem);
  const view = { services: store.list("Service"), pods: podsOf(store), clusterDomain: runtime.clusterDomain };
  for (const gateway of waypointGateways(objects)) {
    const status = gatewayAddresses(gateway, view);
    if (status) store.report(objectKey(gateway), { status });
  }
}

export const podsOf = (store: ObjectStore): readonly Pod[] => store.list("Pod").map(parsePod);

function bind(uid: string, nodeName: string, store: ObjectStore): void {
  const pod = store.list("Pod").find((one) => one.metadata.uid === uid);
  const base = pod && store.base(objectKey(pod));
  if (base) store.put({ ...base, spec: { ...base.spec, nodeName } });
}

/** A pod whose node was taken away is gone with it; its Deployment makes another elsewhere. */
function evictFromMissingNodes(nodes: readonly KubeObject[], { store, actions }: ControllerInit): void {
  const names = new Set(nodes.map((node) => node.metadata.name));
  for (const pod of podsOf(store)) {
    // A pod that names a node which is still to come waits for it.
    if (pod.node !== undefined && !names.has(pod.node) && pod.status.ips.length > 0) actions.removeObject(pod.object);
  }
}

function assignServiceAddresses(service: KubeObject, { store, serviceIndexes, nodePorts }: ControllerInit): void {
  const base = store.base(objectKey(service));
  const needs = base && serviceNeeds(base);
  if (!base || !needs) return;
  const clusterIps = [...needs.clusterIps];
  const index = needs.wantsV4 || needs.wantsV6 ? serviceIndexes.take() : undefined;
  if (index !== undefined) {
    const ips = serviceIps(index);
    if (needs.wantsV4) clusterIps.push(ips.v4);
    if (needs.wantsV6) clusterIps.push(ips.v6);
  }
  if (clusterIps.length > 0) store.put(withServiceAddresses(base, clusterIps, () => nodePorts.take()));
}
