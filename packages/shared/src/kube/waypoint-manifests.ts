/**
 * A waypoint's Gateway -> the ServiceAccount, Deployment and Service that run it. Pure: the lab applies the answer, and so
 * would a controller in a cluster.
 *
 * Parity: Istio's waypoint template (classes, rendered objects, labels).
 * Differs: replicas come from an annotation of the Gateway, so that one object says everything about a waypoint; a
 * `preStop` wait keeps a pod serving until clients have stopped choosing it; readiness is asked more often than every 15 s.
 */
import { Port } from "../net/index.ts";
import { annotationsOf, labelsAt, labelsOf, namespaceOf, recordAt, recordsAt, textAt } from "./accessors.ts";
import { DATAPLANE_MODE_LABEL } from "./enrolment.ts";
import type { KubeObject } from "./model.ts";
import type { Labels } from "./selector.ts";
import {
  GATEWAY_CLASS_LABEL,
  GATEWAY_NAME_LABEL,
  MANAGED_LABEL,
  MANAGED_WAYPOINT,
  MAX_WAYPOINT_REPLICAS,
  REPLICAS_ANNOTATION,
  shortLabel,
  waypointName,
} from "./waypoint-gateway.ts";
import { podTemplate, type WaypointFacts, type WaypointRuntime } from "./waypoint-pod.ts";

const SERVICE_ACCOUNT_OVERRIDE = "gateway.istio.io/service-account";
const TRAFFIC_DISTRIBUTION = "networking.istio.io/traffic-distribution";
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

export interface RenderedWaypoint {
  /** In the order in which they are to be applied. */
  readonly objects: readonly KubeObject[];
  /** Annotations that mean nothing and were passed over, as sentences. */
  readonly problems: readonly string[];
}

export function renderWaypoint(gateway: KubeObject, runtime: WaypointRuntime): RenderedWaypoint {
  const problems: string[] = [];
  const facts: WaypointFacts = {
    gateway,
    runtime,
    name: waypointName(gateway),
    account: annotationsOf(gateway)[SERVICE_ACCOUNT_OVERRIDE] || waypointName(gateway),
    labels: labelsFor(gateway),
    annotations: annotationsFor(gateway),
    replicas: replicasOf(gateway, problems),
  };
  // An account somebody named is somebody's own.
  const accounts = facts.account === facts.name ? [serviceAccount(facts)] : [];
  return { objects: [...accounts, service(facts), deployment(facts)], problems };
}

function replicasOf(gateway: KubeObject, problems: string[]): number {
  const text = annotationsOf(gateway)[REPLICAS_ANNOTATION];
  if (text === undefined || text === "") return 1;
  if (/^\d{1,3}$/.test(text) && Number(text) <= MAX_WAYPOINT_REPLICAS) return Number(text);
  problems.push(
    `${REPLICAS_ANNOTATION}: expected 0 to ${MAX_WAYPOINT_REPLICAS}, got "${text.slice(0, 40)}"; 1 is used`,
  );
  return 1;
}

/** `spec.infrastructure` says what the made objects carry; where it is silent, they carry what the Gateway carries. */
function labelsFor(gateway: KubeObject): Labels {
  const infrastructure = recordAt(gateway.spec, "infrastructure");
  const given = infrastructure["labels"] === undefined ? labelsOf(gateway) : labelsAt(infrastructure, "labels");
  return {
    ...given,
    [GATEWAY_NAME_LABEL]: shortLabel(gateway.metadata.name),
    [GATEWAY_CLASS_LABEL]: shortLabel(textAt(gateway.spec, "gatewayClassName")),
    [MANAGED_LABEL]: MANAGED_WAYPOINT,
    // Its traffic is HBONE already: to capture it would be a loop.
    [DATAPLANE_MODE_LABEL]: "none",
  };
}

function annotationsFor(gateway: KubeObject): Labels {
  const infrastructure = recordAt(gateway.spec, "infrastructure");
  if (infrastructure["annotations"] !== undefined) return labelsAt(infrastructure, "annotations");
  const { [LAST_APPLIED]: _applied, [REPLICAS_ANNOTATION]: _replicas, ...rest } = annotationsOf(gateway);
  return rest;
}

/** @param presets  annotations that give way to the Gateway's own */
function metadata(facts: WaypointFacts, name: string, presets: Labels = {}): KubeObject["metadata"] {
  const { gateway, labels, annotations } = facts;
  const { uid } = gateway.metadata;
  const all = { ...presets, ...annotations };
  return {
    name,
    namespace: namespaceOf(gateway) || "default",
    labels,
    ...(Object.keys(all).length > 0 ? { annotations: all } : {}),
    ownerReferences: [
      {
        apiVersion: "gateway.networking.k8s.io/v1",
        kind: "Gateway",
        name: gateway.metadata.name,
        ...(uid === undefined ? {} : { uid }),
        controller: true,
      },
    ],
  };
}

const serviceAccount = (facts: WaypointFacts): KubeObject => ({
  apiVersion: "v1",
  kind: "ServiceAccount",
  metadata: metadata(facts, facts.account),
});

function service(facts: WaypointFacts): KubeObject {
  const listeners = recordsAt(facts.gateway.spec, "listeners");
  const listener = listeners.find((one) => one["protocol"] === "HBONE" && one["port"] === Port.HBONE);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadata(facts, facts.name, { [TRAFFIC_DISTRIBUTION]: "PreferClose" }),
    spec: {
      type: "ClusterIP",
      ipFamilyPolicy: "PreferDualStack",
      selector: selectorOf(facts),
      ports: [
        { name: "status-port", port: Port.READINESS, protocol: "TCP", appProtocol: "tcp" },
        { name: textAt(listener, "name") || "mesh", port: Port.HBONE, protocol: "TCP", appProtocol: "hbone" },
      ],
    },
  };
}

const selectorOf = ({ labels }: WaypointFacts): Labels => ({ [GATEWAY_NAME_LABEL]: labels[GATEWAY_NAME_LABEL] ?? "" });

function deployment(facts: WaypointFacts): KubeObject {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: metadata(facts, facts.name),
    spec: {
      replicas: facts.replicas,
      selector: { matchLabels: selectorOf(facts) },
      template: podTemplate(facts),
    },
  };
}
