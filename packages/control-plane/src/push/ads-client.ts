/** Stage "push": one connected client, its subscriptions and its stream. */

import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from "@ambit/shared/proto";
import { create } from "@bufbuild/protobuf";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, ENVOY_TYPE_URLS, LISTENER_TYPE_URL } from "./envoy-types.ts";
import { takePushes } from "./push-order.ts";
import type { ResourceStore } from "./resource-store.ts";
import { type Acknowledgement, Subscription } from "./subscription.ts";

export type AdsStream = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

export interface AdsClientEvents {
  onPush(typeUrl: string, resources: number, removed: number): void;
  onAcknowledgement(typeUrl: string, acknowledgement: Acknowledgement): void;
}

/** Who a client is, and from which stores it is served. */
export interface ClientBinding {
  /** A node's name, or `namespace/pod`. */
  readonly name: string;
  /** `namespace/name` of the Gateway whose waypoint it is; absent for node proxies. */
  readonly gateway?: string;
  storeOf(typeUrl: string): ResourceStore;
}

/** What `/debug/status` shows of a client. */
export interface AdsClientStatus {
  readonly node: string;
  readonly gateway?: string;
  readonly nodeId: string;
  readonly types: Readonly<
    Record<
      string,
      {
        readonly outstanding: boolean;
        readonly due: number;
        readonly nacks: number;
        /** Why the last response was refused. */
        readonly refusal?: string;
        /** Version by name that a waypoint said it has taken. */
        readonly acknowledged?: Readonly<Record<string, string>>;
      }
    >
  >;
}

/** How far a waypoint is with what it was sent. */
export interface ClientProgress {
  readonly name: string;
  readonly gateway: string | undefined;
  /** Nothing is due and everything sent was answered. */
  readonly settled: boolean;
  /** Why it refused the last response of some type. */
  readonly refusal: string | undefined;
}

const MAX_TYPES = 16;

/** Sends at most one unacknowledged response a type, and nothing while the transport is full. */
export class AdsClient {
  readonly binding: ClientBinding;
  readonly #stream: AdsStream;
  readonly #events: AdsClientEvents;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #nacks = new Map<string, number>();
  /** Clusters the client was sent, whose endpoints it will ask for. */
  readonly #awaited = new Set<string>();
  #nodeId = "";
  #sequence = 0;
  #blocked = false;
  #settled = false;

  constructor(binding: ClientBinding, stream: AdsStream, events: AdsClientEvents) {
    this.binding = binding;
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
    if (request.typeUrl === ENDPOINT_TYPE_URL) {
      for (const name of request.resourceNamesSubscribe) this.#awaited.delete(name);
    }
    if (acknowledgement.kind === "none") return;
    if (acknowledgement.kind === "nack") {
      this.#nacks.set(request.typeUrl, (this.#nacks.get(request.typeUrl) ?? 0) + 1);
      // Of refused clusters it will ask for no endpoints.
      if (request.typeUrl === CLUSTER_TYPE_URL) this.#awaited.clear();
    }
    this.#events.onAcknowledgement(request.typeUrl, acknowledgement);
  }

  /** It had the time to ask for every type it wants, and for the endpoints of the clusters it has. */
  settle(): void {
    this.#settled = true;
    this.#awaited.clear();
  }

  changed(store: ResourceStore, typeUrl: string, names: readonly string[]): void {
    if (this.binding.storeOf(typeUrl) === store) this.#subscriptions.get(typeUrl)?.changed(names);
  }

  /** Whether clusters went out whose endpoints are still to be asked for: `settle` has to be called some time later. */
  get awaitsEndpoints(): boolean {
    return this.#awaited.size > 0;
  }

  /** Sends what is due, in order, as far as the transport takes it. */
  flush(): void {
    if (this.#blocked || this.#stream.cancelled || this.#stream.destroyed) return;
    const turn = {
      nextNonce: () => String(++this.#sequence),
      settled: this.#settled,
      awaitsEndpoints: this.awaitsEndpoints,
    };
    for (const { typeUrl, push, nonce } of takePushes(this.#subscriptions, turn)) {
      const response = create(DeltaDiscoveryResponseSchema, {
        typeUrl,
        nonce,
        resources: [...push.resources],
        removedResources: [...push.removed],
      });
      if (typeUrl === CLUSTER_TYPE_URL) this.#awaitEndpoints(push.resources.map(({ name }) => name));
      this.#events.onPush(typeUrl, push.resources.length, push.removed.length);
      if (!this.#stream.write(response)) this.#blocked = true;
    }
  }

  status(): AdsClientStatus {
    const types = [...this.#subscriptions].map(([typeUrl, subscription]) => [
      typeUrl,
      {
        outstanding: subscription.outstanding,
        due: subscription.dirty,
        nacks: this.#nacks.get(typeUrl) ?? 0,
        ...(subscription.refusal !== undefined && { refusal: subscription.refusal }),
        ...(this.#isOwn(typeUrl) && { acknowledged: subscription.acknowledged() }),
      },
    ]);
    const { name, gateway } = this.binding;
    return {
      node: name,
      ...(gateway !== undefined && { gateway }),
      nodeId: this.#nodeId,
      types: Object.fromEntries(types),
    };
  }

  progress(): ClientProgress {
    const { name, gateway } = this.binding;
    const own = ENVOY_TYPE_URLS.map((typeUrl) => this.#subscriptions.get(typeUrl));
    const has = (typeUrl: string): boolean => this.#subscriptions.has(typeUrl);
    return {
      name,
      gateway,
      settled:
        has(CLUSTER_TYPE_URL) &&
        has(LISTENER_TYPE_URL) &&
        own.every((each) => each === undefined || (each.dirty === 0 && !each.outstanding)),
      refusal: own.find((each) => each?.refusal !== undefined)?.refusal,
    };
  }

  /** Whether the type is one that is made for this client's waypoint. */
  #isOwn(typeUrl: string): boolean {
    return this.binding.gateway !== undefined && ENVOY_TYPE_URLS.includes(typeUrl);
  }

  #awaitEndpoints(clusters: readonly string[]): void {
    const endpoints = this.#subscriptions.get(ENDPOINT_TYPE_URL);
    const store = this.binding.storeOf(ENDPOINT_TYPE_URL);
    for (const name of clusters) {
      if (store.find(ENDPOINT_TYPE_URL, name) && !endpoints?.has(name)) this.#awaited.add(name);
    }
  }

  #subscriptionTo(typeUrl: string): Subscription | undefined {
    const known = this.#subscriptions.get(typeUrl);
    if (known) return known;
    if (this.#subscriptions.size >= MAX_TYPES) return undefined;
    const subscription = new Subscription(typeUrl, this.binding.storeOf(typeUrl), this.#isOwn(typeUrl));
    this.#subscriptions.set(typeUrl, subscription);
    return subscription;
  }
}
