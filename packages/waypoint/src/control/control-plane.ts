/** Follows the control plane: Envoy's types to the compiler, addresses to the mesh store. */
import { setImmediate } from "node:timers/promises";
import type { ControlPlaneAccess } from "@ambit/shared/ca";
import type { Logger } from "@ambit/shared/log";
import type { Clock, Random } from "@ambit/shared/time";
import type { MeshStore } from "@ambit/shared/workload";
import {
  ADDRESS_TYPE_URL,
  AddressReader,
  type AdsConnection,
  createResourceClient,
  EnvoyTypeUrl,
  identityToProto,
  type Rejection,
  type ResourceClient,
  type ResourceUpdate,
  type SubscribedType,
  type TerminationReason,
  type XdsIdentity,
} from "@ambit/shared/xds";
import type { ModelCompiler } from "../xds/index.ts";

export interface ControlPlaneInit {
  readonly access: ControlPlaneAccess;
  readonly node: XdsIdentity;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly compiler: ModelCompiler;
  readonly store: MeshStore;
  readonly observer: ControlPlaneObserver;
}

export interface ControlPlaneObserver {
  /** Something was applied; `ControlPlane.pending` may have changed. */
  onApplied(): void;
  /** @param rejected  resources of the type in rejection now */
  onRejected(typeUrl: string, rejected: number): void;
  onResponse(typeUrl: string, bytes: number): void;
  onTermination(reason: TerminationReason): void;
}

/** In the order that lets nothing refer to what has not come yet. Spec: xDS protocol, eventual consistency. */
const TYPES: readonly SubscribedType[] = [
  { typeUrl: EnvoyTypeUrl.CLUSTER, style: "wildcard" },
  { typeUrl: EnvoyTypeUrl.ENDPOINT, style: "named" },
  { typeUrl: EnvoyTypeUrl.SECRET, style: "named" },
  { typeUrl: EnvoyTypeUrl.LISTENER, style: "wildcard" },
  { typeUrl: EnvoyTypeUrl.ROUTE, style: "named" },
  { typeUrl: ADDRESS_TYPE_URL, style: "wildcard" },
];
const NAMES: Readonly<Record<string, string>> = {
  [EnvoyTypeUrl.CLUSTER]: "clusters",
  [EnvoyTypeUrl.LISTENER]: "listeners",
  [ADDRESS_TYPE_URL]: "addresses",
};

export class ControlPlane {
  readonly #init: ControlPlaneInit;
  readonly #client: ResourceClient;
  readonly #addresses = new AddressReader();
  /** Names in rejection, by type. */
  readonly #rejected = new Map<string, Set<string>>();
  #connection: AdsConnection["connection"] = "connecting";

  constructor(init: ControlPlaneInit) {
    this.#init = init;
    const { access, clock, random, log, observer } = init;
    this.#client = createResourceClient(
      { access, clock, random, node: identityToProto(init.node), types: TYPES },
      {
        onResources: (update) => this.#apply(update),
        onApplied: () => observer.onApplied(),
        onConnection: (state) => this.#onConnection(state),
        onReject: (typeUrl, name, reason) =>
          log.error("resource rejected, the last good one stays", { typeUrl, name, reason }),
        onResponse: (typeUrl, bytes) => observer.onResponse(typeUrl, bytes),
        onTermination: (reason) => observer.onTermination(reason),
      },
    );
  }

  start(): void {
    this.#client.start();
  }

  stop(): void {
    this.#client.stop();
  }

  get connection(): AdsConnection["connection"] {
    return this.#connection;
  }

  /** What was never received yet of what a waypoint needs before it may serve; names of it for the readiness answer. */
  pending(): readonly string[] {
    const types = Object.entries(NAMES).filter(([typeUrl]) => !this.#client.isReceived(typeUrl));
    const named = [EnvoyTypeUrl.ENDPOINT, EnvoyTypeUrl.ROUTE].flatMap((typeUrl) => this.#client.missing(typeUrl));
    return [...types.map(([, name]) => name), ...(named.length > 0 ? ["endpoints"] : [])];
  }

  /** Resources in rejection: by type, then name. */
  rejections(): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries([...this.#rejected].map(([typeUrl, names]) => [typeUrl, [...names].sort()]));
  }

  async #apply(update: ResourceUpdate): Promise<readonly Rejection[]> {
    const rejected =
      update.typeUrl === ADDRESS_TYPE_URL ? await this.#applyAddresses(update) : this.#applyModel(update);
    this.#noteRejections(update, rejected);
    return rejected;
  }

  #applyModel({ typeUrl, upserted, removed }: ResourceUpdate): readonly Rejection[] {
    const { rejected, wants, notes } = this.#init.compiler.apply(typeUrl, upserted, removed);
    for (const note of notes) this.#init.log.info("left out of the configuration", { typeUrl, note });
    this.#client.want(EnvoyTypeUrl.ENDPOINT, wants.eds);
    this.#client.want(EnvoyTypeUrl.SECRET, wants.secrets);
    this.#client.want(EnvoyTypeUrl.ROUTE, wants.rds);
    return rejected;
  }

  /** Piece by piece: traffic of this thread gets its turn. */
  async #applyAddresses(update: ResourceUpdate): Promise<readonly Rejection[]> {
    const all: Rejection[] = [];
    let first = true;
    for (const { delta, rejected } of this.#addresses.read(update)) {
      if (!first) await setImmediate();
      first = false;
      this.#init.store.apply(delta);
      all.push(...rejected);
    }
    return all;
  }

  #noteRejections({ typeUrl, upserted, removed }: ResourceUpdate, rejected: readonly Rejection[]): void {
    const names = this.#rejected.get(typeUrl) ?? new Set();
    for (const { name } of upserted) names.delete(name);
    for (const name of removed) names.delete(name);
    for (const { name } of rejected) names.add(name);
    if (names.size > 0 || this.#rejected.has(typeUrl)) this.#init.observer.onRejected(typeUrl, names.size);
    if (names.size > 0) this.#rejected.set(typeUrl, names);
    else this.#rejected.delete(typeUrl);
  }

  #onConnection({ connection, error, retryInMs }: AdsConnection): void {
    this.#connection = connection;
    const { log } = this.#init;
    if (connection === "connected") log.info("connected to the control plane");
    if (connection !== "waiting") return;
    log.warn("not connected to the control plane", { error, retry_in_ms: Math.round(retryInMs ?? 0) });
  }
}
