/** Stage "push": one connected client, its subscriptions and its stream. */

import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from "@ambit/shared/proto";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import { create } from "@bufbuild/protobuf";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { takePushes } from "./push-order.ts";
import type { ResourceStore } from "./resource-store.ts";
import { type Acknowledgement, Subscription } from "./subscription.ts";

export type AdsStream = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

export interface AdsClientEvents {
  onPush(typeUrl: string, resources: number, removed: number): void;
  onAcknowledgement(typeUrl: string, acknowledgement: Acknowledgement): void;
}

/** What `/debug/status` shows of a client. */
export interface AdsClientStatus {
  readonly node: string;
  readonly nodeId: string;
  readonly types: Readonly<
    Record<string, { readonly outstanding: boolean; readonly due: number; readonly nacks: number }>
  >;
}

const MAX_TYPES = 16;

/** Sends at most one unacknowledged response a type, and nothing while the transport is full. */
export class AdsClient {
  readonly node: string;
  readonly #store: ResourceStore;
  readonly #stream: AdsStream;
  readonly #events: AdsClientEvents;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #nacks = new Map<string, number>();
  #nodeId = "";
  #sequence = 0;
  #blocked = false;

  constructor(node: string, store: ResourceStore, stream: AdsStream, events: AdsClientEvents) {
    this.node = node;
    this.#store = store;
    this.#stream = stream;
    this.#events = events;
    stream.on("drain", () => {
      this.#blocked = false;
      this.flush();
    });
  }

  /** Takes a request in; the caller decides when to flush. Requests of more types than there are known ones are ignored. */
  request(request: DeltaDiscoveryRequest): void {
    if (request.node) this.#nodeId = request.node.id.slice(0, 512);
    const subscription = this.#subscriptionTo(request.typeUrl);
    if (!subscription) return;
    const acknowledgement = subscription.request(request);
    if (acknowledgement.kind === "none") return;
    if (acknowledgement.kind === "nack") this.#nacks.set(request.typeUrl, (this.#nacks.get(request.typeUrl) ?? 0) + 1);
    this.#events.onAcknowledgement(request.typeUrl, acknowledgement);
  }

  /** Policies and addresses were both asked for. */
  get wantsBothTypes(): boolean {
    return this.#subscriptions.has(ADDRESS_TYPE_URL) && this.#subscriptions.has(AUTHORIZATION_TYPE_URL);
  }

  changed(typeUrl: string, names: readonly string[]): void {
    this.#subscriptions.get(typeUrl)?.changed(names);
  }

  /** Sends what is due, in order, as far as the transport takes it. */
  flush(): void {
    if (this.#blocked || this.#stream.cancelled || this.#stream.destroyed) return;
    for (const { typeUrl, push, nonce } of takePushes(this.#subscriptions, () => String(++this.#sequence))) {
      const response = create(DeltaDiscoveryResponseSchema, {
        typeUrl,
        nonce,
        resources: [...push.resources],
        removedResources: [...push.removed],
      });
      this.#events.onPush(typeUrl, push.resources.length, push.removed.length);
      if (!this.#stream.write(response)) this.#blocked = true;
    }
  }

  status(): AdsClientStatus {
    const types = [...this.#subscriptions].map(([typeUrl, subscription]) => [
      typeUrl,
      { outstanding: subscription.outstanding, due: subscription.dirty, nacks: this.#nacks.get(typeUrl) ?? 0 },
    ]);
    return { node: this.node, nodeId: this.#nodeId, types: Object.fromEntries(types) };
  }

  #subscriptionTo(typeUrl: string): Subscription | undefined {
    const known = this.#subscriptions.get(typeUrl);
    if (known) return known;
    if (this.#subscriptions.size >= MAX_TYPES) return undefined;
    const subscription = new Subscription(typeUrl, this.#store);
    this.#subscriptions.set(typeUrl, subscription);
    return subscription;
  }
}
