import { type AuthorizationPolicy, type PolicyDelta, policyKey } from "@ambit/shared/policy";
import { type AddressDelta, type PortMapping, type Service, serviceKey, type Workload } from "@ambit/shared/workload";
import type { CertificateUpdate, ToWorker } from "../messages.ts";

const RESOURCES_PER_MESSAGE = 1_000;

/** Endpoint of a service: a workload that lists it. */
export interface ServiceMember {
  readonly workload: Workload;
  readonly ports: readonly PortMapping[];
}

/**
 * Everything the data workers were told and still hold, kept so that a replacement worker can be told the same.
 * Also what `/config_dump` shows. Holds decoded resources only; indexes for connections live in the workers.
 */
export class StateMirror {
  readonly #workloads = new Map<string, Workload>();
  readonly #services = new Map<string, Service>();
  readonly #policies = new Map<string, AuthorizationPolicy>();
  readonly #certificates = new Map<string, CertificateUpdate>();
  #revoked: Readonly<Record<string, readonly string[]>> | undefined;
  #snapshotComplete = false;

  get workloads(): ReadonlyMap<string, Workload> {
    return this.#workloads;
  }

  get services(): ReadonlyMap<string, Service> {
    return this.#services;
  }

  get policies(): ReadonlyMap<string, AuthorizationPolicy> {
    return this.#policies;
  }

  get snapshotComplete(): boolean {
    return this.#snapshotComplete;
  }

  /** Remembers what `message` will change in a worker. */
  apply(message: ToWorker): void {
    switch (message.kind) {
      case "addresses":
        this.#applyAddresses(message.delta);
        return;
      case "policies":
        this.#applyPolicies(message.delta);
        return;
      case "certificate":
        this.#certificates.set(message.update.identity, message.update);
        return;
      case "certificate-unavailable":
        this.#certificates.delete(message.identity);
        return;
      case "revocations":
        this.#revoked = message.revoked;
        return;
      case "snapshot-complete":
        this.#snapshotComplete = true;
        return;
      default:
        // Pods belong to the pool; the rest is about one worker at one moment.
        return;
    }
  }

  /** Drops an identity nobody on this node has any more. */
  forgetCertificate(identity: string): void {
    this.#certificates.delete(identity);
  }

  /**
   * The messages that bring an empty worker to the present state. Revocations and certificates go before the mesh,
   * and `snapshot-complete` last, so that no connection is judged on half of it.
   */
  *replay(): Generator<ToWorker> {
    if (this.#revoked) yield { kind: "revocations", revoked: this.#revoked };
    for (const update of this.#certificates.values()) yield { kind: "certificate", update };
    for (const policies of chunks(this.#policies.values()))
      yield { kind: "policies", delta: { policies, removed: [] } };
    for (const services of chunks(this.#services.values())) yield addresses({ workloads: [], services, removed: [] });
    for (const workloads of chunks(this.#workloads.values())) yield addresses({ workloads, services: [], removed: [] });
    if (this.#snapshotComplete) yield { kind: "snapshot-complete" };
  }

  /** Members of every service, by service key; built for a dump, not for a connection. */
  membersByService(): ReadonlyMap<string, readonly ServiceMember[]> {
    const members = new Map<string, ServiceMember[]>();
    for (const workload of this.#workloads.values()) {
      for (const [key, ports] of Object.entries(workload.services)) {
        const list = members.get(key);
        if (list) list.push({ workload, ports });
        else members.set(key, [{ workload, ports }]);
      }
    }
    return members;
  }

  #applyAddresses(delta: AddressDelta): void {
    for (const workload of delta.workloads) this.#workloads.set(workload.uid, workload);
    for (const service of delta.services) this.#services.set(serviceKey(service), service);
    for (const name of delta.removed) if (!this.#workloads.delete(name)) this.#services.delete(name);
  }

  #applyPolicies(delta: PolicyDelta): void {
    for (const policy of delta.policies) this.#policies.set(policyKey(policy), policy);
    for (const key of delta.removed) this.#policies.delete(key);
  }
}

const addresses = (delta: AddressDelta): ToWorker => ({ kind: "addresses", delta });

/** Lists of at most 1 000, so that one message never holds a worker for long. */
function* chunks<T>(values: Iterable<T>): Generator<T[]> {
  let chunk: T[] = [];
  for (const value of values) {
    chunk.push(value);
    if (chunk.length < RESOURCES_PER_MESSAGE) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}
