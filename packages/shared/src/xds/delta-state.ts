import { create } from "@bufbuild/protobuf";
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  type Node,
  StatusSchema,
} from "../proto/index.ts";
import { type HeldResource, type Rejection, type ResourceReading, readResources } from "./read-resources.ts";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL, type XdsTypeUrl } from "./type-urls.ts";

/** One response, read but not yet recorded. */
export interface Reception {
  readonly typeUrl: string;
  /** Of all resources together. */
  readonly bytes: number;
  /** Absent for a type nobody asked for, which is acknowledged and otherwise ignored. */
  readonly reading?: ResourceReading;
  /** The ACK or NACK. */
  readonly reply: DeltaDiscoveryRequest;
}

const TYPES: readonly XdsTypeUrl[] = [ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL];
const MAX_REASONS = 50;

/**
 * The client's side of the delta protocol without the transport: what is held, what to ask for when a stream opens,
 * and how to answer a response. Survives streams; what is held is forgotten only when the control plane says so.
 *
 * Spec: xDS transport protocol, incremental variant. Parity: ztunnel src/xds/client.rs. Differs: a response in which
 * something had to be rejected still counts as received.
 */
export class DeltaState {
  readonly #node: Node;
  readonly #held: Readonly<Record<XdsTypeUrl, Map<string, HeldResource>>> = {
    [ADDRESS_TYPE_URL]: new Map(),
    [AUTHORIZATION_TYPE_URL]: new Map(),
  };
  readonly #received = new Set<XdsTypeUrl>();

  constructor(node: Node) {
    this.#node = node;
  }

  /** Every type has been received at least once, so that absence means something. Never goes back. */
  get complete(): boolean {
    return TYPES.every((type) => this.#received.has(type));
  }

  /** Wildcard subscriptions, in the order to send them on a new stream, claiming what is still held. */
  openRequests(): DeltaDiscoveryRequest[] {
    return TYPES.map((typeUrl) => {
      const versions = [...this.#held[typeUrl]].map(([name, { version }]) => [name, version] as const);
      const initialResourceVersions = Object.fromEntries(versions);
      return create(DeltaDiscoveryRequestSchema, { node: this.#node, typeUrl, initialResourceVersions });
    });
  }

  /** Reads a response; nothing changes until `record`. */
  read(response: DeltaDiscoveryResponse): Reception {
    const { typeUrl, nonce } = response;
    const bytes = response.resources.reduce((sum, { resource }) => sum + (resource?.value.length ?? 0), 0);
    const known = TYPES.find((type) => type === typeUrl);
    if (!known) return { typeUrl, bytes, reply: replyTo(typeUrl, nonce, []) };
    const reading = readResources(known, response, this.#held[known]);
    return { typeUrl, bytes, reading, reply: replyTo(typeUrl, nonce, reading.rejected) };
  }

  /** To be called once the reading has been applied, so that only what is in force is claimed later. */
  record({ reading }: Reception): void {
    if (!reading) return;
    const { typeUrl } = reading.update;
    for (const [name, resource] of reading.held) this.#held[typeUrl].set(name, resource);
    for (const name of reading.released) this.#held[typeUrl].delete(name);
    this.#received.add(typeUrl);
  }
}

/** The ACK, or with something rejected the NACK, of a response. */
export function replyTo(typeUrl: string, responseNonce: string, rejected: readonly Rejection[]): DeltaDiscoveryRequest {
  const request = create(DeltaDiscoveryRequestSchema, { typeUrl, responseNonce });
  if (rejected.length === 0) return request;
  const reasons = rejected.slice(0, MAX_REASONS).map(({ name, reason }) => `${name}: ${reason}`);
  if (rejected.length > MAX_REASONS) reasons.push(`and ${rejected.length - MAX_REASONS} more`);
  // Parity: the code stays 0; the presence of the detail is what makes it a NACK.
  request.errorDetail = create(StatusSchema, { message: reasons.join("; ") });
  return request;
}
