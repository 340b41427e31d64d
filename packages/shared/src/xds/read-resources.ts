import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { err, ok, type Result } from "../errors/index.ts";
import { type AuthorizationPolicy, type PolicyDelta, policyFromProto, policyKey } from "../policy/index.ts";
import { AddressSchema, AuthorizationSchema, type DeltaDiscoveryResponse, type Resource } from "../proto/index.ts";
import { type AddressDelta, addressFromProto, type Service, serviceKey, type Workload } from "../workload/index.ts";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL, type XdsTypeUrl } from "./type-urls.ts";

/** What is held under one resource name. */
export interface HeldResource {
  readonly version: string;
  /** The key the stores know it by: workload uid, service key or policy key. */
  readonly key: string;
  /** Not what the control plane meant, but the strict reading of something that could not be fully read. */
  readonly stopgap: boolean;
}

export type HeldResources = ReadonlyMap<string, HeldResource>;

export interface Rejection {
  readonly name: string;
  readonly reason: string;
}

/** What one response of a known type says. */
export interface ResourceReading {
  readonly update:
    | { readonly typeUrl: typeof ADDRESS_TYPE_URL; readonly delta: AddressDelta }
    | { readonly typeUrl: typeof AUTHORIZATION_TYPE_URL; readonly delta: PolicyDelta };
  /** What to hold from now on, by resource name. */
  readonly held: HeldResources;
  /** Names no longer held. */
  readonly released: readonly string[];
  readonly rejected: readonly Rejection[];
}

/**
 * Decodes the resources of a response, each on its own: a bad one is rejected by name and leaves what was held under
 * that name in force. The type is the response's; the one inside each resource is not looked at.
 */
export function readResources(
  typeUrl: XdsTypeUrl,
  response: DeltaDiscoveryResponse,
  held: HeldResources,
): ResourceReading {
  return typeUrl === ADDRESS_TYPE_URL ? readAddresses(response, held) : readPolicies(response, held);
}

function readAddresses(response: DeltaDiscoveryResponse, held: HeldResources): ResourceReading {
  const workloads: Workload[] = [];
  const services: Service[] = [];
  const ledger = new Ledger(held);
  for (const resource of response.resources) {
    const decoded = decode(AddressSchema, resource);
    const address = decoded.ok ? addressFromProto(decoded.value) : decoded;
    if (!address.ok) {
      ledger.reject(resource, address.error);
    } else if (address.value.kind === "workload") {
      workloads.push(address.value.workload);
      ledger.hold(resource, address.value.workload.uid);
    } else {
      services.push(address.value.service);
      ledger.hold(resource, serviceKey(address.value.service));
    }
  }
  const removed = ledger.release(response.removedResources);
  return { update: { typeUrl: ADDRESS_TYPE_URL, delta: { workloads, services, removed } }, ...ledger.result() };
}

function readPolicies(response: DeltaDiscoveryResponse, held: HeldResources): ResourceReading {
  const policies: AuthorizationPolicy[] = [];
  const ledger = new Ledger(held);
  for (const resource of response.resources) {
    const decoded = decode(AuthorizationSchema, resource);
    const policy = decoded.ok ? policyFromProto(decoded.value) : err({ reason: decoded.error, failClosed: undefined });
    if (policy.ok) {
      policies.push(policy.value);
      ledger.hold(resource, policyKey(policy.value));
      continue;
    }
    const { reason, failClosed } = policy.error;
    ledger.reject(resource, reason);
    // With an earlier good version in force that one stays; without, nothing at all would be enforced.
    if (failClosed && ledger.holdsNothingGood(resource)) {
      policies.push(failClosed);
      ledger.holdStopgap(resource, policyKey(failClosed));
    }
  }
  const removed = ledger.release(response.removedResources);
  return { update: { typeUrl: AUTHORIZATION_TYPE_URL, delta: { policies, removed } }, ...ledger.result() };
}

/** Notes what a response changes in what is held, without changing it yet. */
class Ledger {
  readonly #before: HeldResources;
  readonly #held = new Map<string, HeldResource>();
  readonly #rejected: Rejection[] = [];
  readonly #replacedKeys = new Set<string>();
  #released: readonly string[] = [];

  constructor(before: HeldResources) {
    this.#before = before;
  }

  hold(resource: Resource, key: string): void {
    this.#put(resource, { version: resource.version, key, stopgap: false });
  }

  /** Without a version, so that after a reconnect it is sent again, or named as removed. */
  holdStopgap(resource: Resource, key: string): void {
    this.#put(resource, { version: "", key, stopgap: true });
  }

  holdsNothingGood(resource: Resource): boolean {
    const now = this.#held.get(resource.name) ?? this.#before.get(resource.name);
    return now === undefined || now.stopgap;
  }

  reject(resource: Resource, reason: string): void {
    this.#rejected.push({ name: resource.name, reason });
  }

  /** @returns the keys to remove from the store: those of the names, and keys whose resource now has another */
  release(names: readonly string[]): string[] {
    this.#released = names;
    const keys = names.map((name) => (this.#held.get(name) ?? this.#before.get(name))?.key ?? name);
    return [...new Set([...keys, ...this.#replacedKeys])];
  }

  result() {
    return { held: this.#held, released: this.#released, rejected: this.#rejected };
  }

  #put(resource: Resource, held: HeldResource): void {
    const name = resource.name || held.key;
    const before = this.#before.get(name)?.key;
    if (before !== undefined && before !== held.key) this.#replacedKeys.add(before);
    this.#held.set(name, held);
    this.#replacedKeys.delete(held.key);
  }
}

function decode<Schema extends DescMessage>(schema: Schema, resource: Resource): Result<MessageShape<Schema>> {
  if (!resource.resource) return err("expected a resource, got none");
  try {
    return ok(fromBinary(schema, resource.resource.value, { readUnknownFields: false }));
  } catch (error) {
    return err(`does not decode as ${schema.typeName}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
