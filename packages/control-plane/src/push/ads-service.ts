/** Stage "push": the delta ADS endpoint. One stream a client, all types on it. */

import { ok, type Result } from "@ambit/shared/errors";
import { grpcServiceDefinition } from "@ambit/shared/grpc";
import { AggregatedDiscoveryService, type DeltaDiscoveryRequest } from "@ambit/shared/proto";
import type { Clock } from "@ambit/shared/time";
import { type Metadata, status } from "@grpc/grpc-js";
import type { Caller } from "../ca/index.ts";
import {
  AdsClient,
  type AdsClientEvents,
  type AdsClientStatus,
  type AdsStream,
  type ClientBinding,
  type ClientProgress,
} from "./ads-client.ts";
import { checkNode } from "./check-node.ts";
import { Debounce } from "./debounce.ts";
import type { ScopedStores } from "./scoped-stores.ts";

export interface AdsServiceInit extends AdsClientEvents {
  readonly stores: ScopedStores;
  readonly clock: Clock;
  /** Who calls, by its token; the reason goes to the caller as UNAUTHENTICATED. */
  authenticate(metadata: Metadata): Promise<Result<Caller>>;
  /** What the caller is served from, by the objects as they are now; the reason goes to it as PERMISSION_DENIED. */
  bind(caller: Caller): Result<ClientBinding>;
  /** The first set of objects is loaded: before that an empty answer would look like an empty mesh. */
  readonly loaded: () => boolean;
  /** A client came, went, or answered: what is in force may be different now. */
  onProgress(): void;
  onConnect(node: string): void;
  onDisconnect(node: string, reason: string): void;
}

/** Quiet time and longest wait between a change and its push, milliseconds. */
const QUIET_MS = 20;
const LONGEST_MS = 100;
/**
 * A new stream asks for one type after the other. What names others must not be answered before them, so it waits until
 * both are asked for, or for so long from a client that only wants one. The same for endpoints of new clusters.
 */
const SETTLE_MS = 250;
/** One for each proxy process of a client: two during an upgrade, and some that died and are not known to have. */
const MAX_STREAMS_PER_CLIENT = 16;

/** Serves every connected proxy from one store. */
export class AdsService {
  readonly definition = grpcServiceDefinition(AggregatedDiscoveryService);
  readonly #init: AdsServiceInit;
  readonly #clients = new Map<AdsClient, Connected>();
  readonly #debounce: Debounce;
  readonly #unlisten: () => void;

  constructor(init: AdsServiceInit) {
    this.#init = init;
    this.#debounce = new Debounce(init.clock, QUIET_MS, LONGEST_MS, () => this.flush());
    this.#unlisten = init.stores.listen((store, typeUrl, names) => {
      for (const client of this.#clients.keys()) client.changed(store, typeUrl, names);
      this.#debounce.trigger();
    });
  }

  /** For `server.addService(service.definition, service.handlers)`. */
  get handlers(): { deltaAggregatedResources(stream: AdsStream): void } {
    return { deltaAggregatedResources: (stream) => void this.#admit(stream) };
  }

  clients(): AdsClientStatus[] {
    return [...this.#clients.keys()].map((client) => client.status());
  }

  /** How far the waypoints are. */
  progress(): readonly ClientProgress[] {
    return [...this.#clients.keys()].map((client) => client.progress()).filter(({ gateway }) => gateway !== undefined);
  }

  /** Sends every client what is due; also called once the first objects are loaded. */
  flush(): void {
    if (!this.#init.loaded()) return;
    for (const client of this.#clients.keys()) client.flush();
  }

  stop(): void {
    this.#unlisten();
    this.#debounce.stop();
  }

  /** Ends the streams of callers who are not any more what they were admitted as; they come back as what they are now. */
  recheck(): void {
    for (const [client, { caller, stream }] of this.#clients) {
      const now = this.#init.bind(caller);
      if (now.ok && now.value.gateway === client.binding.gateway && now.value.name === client.binding.name) continue;
      const details = now.ok ? "the client belongs to another Gateway now" : now.error;
      stream.emit("error", { code: now.ok ? status.UNAVAILABLE : status.PERMISSION_DENIED, details });
    }
  }

  /** Nothing of the stream is read before its caller is known. */
  async #admit(stream: AdsStream): Promise<void> {
    stream.on("error", () => {});
    stream.pause();
    const caller = await this.#init.authenticate(stream.metadata);
    if (stream.cancelled || stream.destroyed) return;
    if (!caller.ok) {
      stream.emit("error", { code: status.UNAUTHENTICATED, details: caller.error });
      return;
    }
    const binding = this.#init.bind(caller.value);
    if (binding.ok) this.#serve(stream, caller.value, binding.value);
    else stream.emit("error", { code: status.PERMISSION_DENIED, details: binding.error });
  }

  #serve(stream: AdsStream, caller: Caller, binding: ClientBinding): void {
    this.#makeRoom(binding);
    const client = new AdsClient(binding, stream, this.#init);
    this.#clients.set(client, { caller, stream });
    this.#init.onConnect(binding.name);
    this.#init.onProgress();
    const settling = this.#settling(client);
    const leave = (reason: string): void => {
      settling.stop();
      if (!this.#clients.delete(client)) return;
      this.#init.onDisconnect(binding.name, reason);
      this.#init.onProgress();
    };
    stream.on("data", (request: DeltaDiscoveryRequest) => {
      const agreed = request.node ? checkNode(request.node, caller) : ok(undefined);
      if (!agreed.ok) {
        stream.emit("error", { code: status.PERMISSION_DENIED, details: agreed.error });
        return;
      }
      client.request(request);
      if (this.#init.loaded()) client.flush();
      this.#init.onProgress();
      settling.watch();
    });
    stream.on("end", () => {
      leave("ended by the client");
      stream.end();
    });
    stream.on("cancelled", () => leave("cancelled"));
    stream.on("error", (error: Error) => leave(error.message));
    stream.on("close", () => leave("closed"));
    stream.resume();
  }

  /** Each stream costs memory: of too many of one client the oldest ends, since the newest is surely alive. */
  #makeRoom({ name, gateway }: ClientBinding): void {
    const same = [...this.#clients].filter(([{ binding }]) => binding.name === name && binding.gateway === gateway);
    if (same.length < MAX_STREAMS_PER_CLIENT) return;
    const details = `more than ${MAX_STREAMS_PER_CLIENT} streams of ${name}: the oldest is ended`;
    same[0]?.[1].stream.emit("error", { code: status.RESOURCE_EXHAUSTED, details });
  }

  /** Runs once for a new stream, and again whenever it was sent clusters whose endpoints it has to ask for. */
  #settling(client: AdsClient): { watch(): void; stop(): void } {
    let cancel = (): void => {};
    let running = false;
    const start = (): void => {
      running = true;
      cancel = this.#init.clock.after(SETTLE_MS, () => {
        running = false;
        client.settle();
        if (this.#init.loaded()) client.flush();
      });
    };
    start();
    return {
      watch: () => {
        if (!running && client.awaitsEndpoints) start();
      },
      stop: () => cancel(),
    };
  }
}

interface Connected {
  readonly caller: Caller;
  readonly stream: AdsStream;
}
