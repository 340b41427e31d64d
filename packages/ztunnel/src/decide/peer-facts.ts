/** What telemetry says of the two ends. Pure; the facts of a workload are made once and shared by its connections. */
import type { Baggage } from "@ambit/shared/hbone";
import type { SpiffeUri } from "@ambit/shared/identity";
import { type Service, serviceKey, type Workload } from "@ambit/shared/workload";
import type { PeerFacts } from "../observe/records.ts";
import { identityOf } from "./expected-identities.ts";

export const unknownPeer: PeerFacts = {
  workload: "",
  namespace: "",
  canonicalService: "",
  canonicalRevision: "",
  app: "",
  version: "",
  cluster: "",
  region: "",
  zone: "",
  identity: "",
};

/** Keyed by the workload value, so an update of the workload gets new facts. */
const factsOf = new WeakMap<Workload, PeerFacts>();

export function workloadFacts(workload: Workload): PeerFacts {
  let facts = factsOf.get(workload);
  if (facts === undefined) {
    facts = {
      workload: workload.workloadName || workload.name,
      namespace: workload.namespace,
      canonicalService: workload.canonicalName,
      canonicalRevision: workload.canonicalRevision,
      app: workload.canonicalName,
      version: workload.canonicalRevision,
      cluster: workload.clusterId,
      region: workload.locality.region,
      zone: workload.locality.zone,
      identity: identityOf(workload),
    };
    factsOf.set(workload, facts);
  }
  return facts;
}

/**
 * The source of an inbound connection. xDS knows it by its address; else the `baggage` it sent describes it, which is
 * telemetry only. The identity is always the one TLS proved, and empty without TLS.
 */
export function sourceFacts(
  workload: Workload | undefined,
  baggage: Baggage | undefined,
  proven: SpiffeUri | "",
): PeerFacts {
  if (workload !== undefined) {
    const facts = workloadFacts(workload);
    return facts.identity === proven ? facts : { ...facts, identity: proven };
  }
  if (baggage === undefined) return proven === "" ? unknownPeer : { ...unknownPeer, identity: proven };
  return {
    workload: baggage.workloadName,
    namespace: baggage.namespace,
    canonicalService: baggage.canonicalName,
    canonicalRevision: baggage.canonicalRevision,
    app: baggage.workloadName,
    version: baggage.canonicalRevision,
    cluster: baggage.clusterId,
    region: baggage.region,
    zone: baggage.zone,
    identity: proven,
  };
}

export interface ServiceFacts {
  readonly hostname: string;
  readonly namespace: string;
  readonly name: string;
}
export const noService: ServiceFacts = { hostname: "", namespace: "", name: "" };

export const serviceFacts = (service: Service | undefined): ServiceFacts =>
  service === undefined ? noService : { hostname: service.hostname, namespace: service.namespace, name: service.name };

/**
 * The service an inbound connection was for: the one named by `forwarded`, when the pod serves it, else the first
 * that has the destination port as a target. Telemetry only.
 */
export function inboundService(
  services: readonly Service[],
  own: Workload,
  hint: { readonly hostname: string | undefined; readonly port: number },
): Service | undefined {
  const named = services.find((service) => service.hostname === hint.hostname);
  return named ?? services.find((service) => servesPort(service, own, hint.port));
}

function servesPort(service: Service, own: Workload, port: number): boolean {
  const mappings = own.services[serviceKey(service)] ?? [];
  return [...mappings, ...service.ports].some((mapping) => mapping.targetPort === port);
}
