/** Stage "push": the delta ADS endpoint. One stream a client, all types on it. */

import { ok, type Result } from "@ambit/shared/errors";
import { grpcServiceDefinition } from "@ambit/shared/grpc";
import { AggregatedDiscoveryService, type DeltaDiscoveryRequest } from "@ambit/shared/proto";
import type { Clock } from "@ambit/shared/time";
import { type Metadata, status } from "@grpc/grpc-js";
import { AdsClient, type AdsClientEvents, type AdsClientStatus, type AdsStream } from "./ads-client.ts";
import { checkNode } from "./check-node.ts";
import { Debounce } from "./debounce.ts";
import type { ResourceStore } from "./resource-store.ts";

export interface AdsServiceInit extends AdsClientEvents {
  readonly store: ResourceStore;
  readonly clock: Clock;
  /** Who calls, by its token; the reason goes to the caller as UNAUTHENTICATED. */
  authenticate(metadata: Metadata): Promise<Result<{ readonly node: string }>>;
  /** The first set of objects is loaded: before that an empty answer would look like an empty mesh. */
  readonly loaded: () => boolean;
  onConnect(node: string): void;
  onDisconnect(node: string, reason: string): void;
}

/** Quiet time and longest wait between a change and its push, milliseconds. */
const QUIET_MS = 20;
const LONGEST_MS = 100;
/**
 * A new stream asks for one type after the other. Workloads must not be answered before the policies they name, so the
 * first answer waits until both are asked for, or for so long from a client that only wants one.
 */
const FIRST_ANSWER_MS = 250;

/** Serves every connected proxy from one store. */
export class AdsService {
  readonly definition = grpcServiceDefinition(AggregatedDiscoveryService);
  readonly #init: AdsServiceInit;
  readonly #clients = new Set<AdsClient>();
  readonly #debounce: Debounce;
  readonly #unlisten: () => void;

  constructor(init: AdsServiceInit) {
    this.#init = init;
    this.#debounce = new Debounce(init.clock, QUIET_MS, LONGEST_MS, () => this.flush());
    this.#unlisten = init.store.listen((typeUrl, names) => {
      for (const client of this.#clients) client.changed(typeUrl, names);
      this.#debounce.trigger();
    });
  }

  /** For `server.addService(service.definition, service.handlers)`. */
  get handlers(): { deltaAggregatedResources(stream: AdsStream): void } {
    return { deltaAggregatedResources: (stream) => void this.#admit(stream) };
  }

  clients(): AdsClientStatus[] {
    return [...this.#clients].map((client) => client.status());
  }

  /** Sends every client what is due; also called once the first objects are loaded. */
  flush(): void {
    if (!this.#init.loaded()) return;
    for (const client of this.#clients) client.flush();
  }

  stop(): void {
    this.#unlisten();
    this.#debounce.stop();
  }

  /** Nothing of the stream is read before its caller is known. */
  async #admit(stream: AdsStream): Promise<void> {
    stream.on("error", () => {});
    stream.pause();
    const caller = await this.#init.authenticate(stream.metadata);
    if (stream.cancelled || stream.destroyed) return;
    if (caller.ok) this.#serve(stream, caller.value.node);
    else stream.emit("error", { code: status.UNAUTHENTICATED, details: caller.error });
  }

  #serve(stream: AdsStream, node: string): void {
    const client = new AdsClient(node, this.#init.store, stream, this.#init);
    this.#clients.add(client);
    this.#init.onConnect(client.node);
    let waited = false;
    const flush = (): void => {
      if ((waited || client.wantsBothTypes) && this.#init.loaded()) client.flush();
    };
    const openLater = this.#init.clock.after(FIRST_ANSWER_MS, () => {
      waited = true;
      flush();
    });
    const leave = (reason: string): void => {
      openLater();
      if (this.#clients.delete(client)) this.#init.onDisconnect(client.node, reason);
    };
    stream.on("data", (request: DeltaDiscoveryRequest) => {
      const agreed = request.node ? checkNode(request.node, node) : ok(undefined);
      if (!agreed.ok) {
        stream.emit("error", { code: status.PERMISSION_DENIED, details: agreed.error });
        return;
      }
      client.request(request);
      flush();
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
}
