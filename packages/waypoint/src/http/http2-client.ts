/** HTTP/2 towards an upstream, by prior knowledge, on our own engine. */
import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { createH2Session, type H2Session } from "@ambit/shared/http2";
import { misuse, noRoom, unsendableField } from "./failures.ts";
import { unsendable } from "./format-head.ts";
import { Http2ClientExchange } from "./http2-client-exchange.ts";
import { encodeRequest } from "./http2-heads.ts";
import type { BodyLength, OutgoingRequest, UpstreamConnection, UpstreamEvents, UpstreamExchange } from "./message.ts";
import type { ConnectOptions } from "./options.ts";

/** An upgrade that waits until the peer's SETTINGS say whether it may be asked for. */
interface WaitingUpgrade {
  readonly head: OutgoingRequest;
  readonly exchange: Http2ClientExchange;
}

export class Http2ClientConnection implements UpstreamConnection {
  readonly version = "HTTP/2";
  readonly #options: ConnectOptions;
  readonly #session: H2Session;
  #requests = 0;
  #waiting: WaitingUpgrade[] = [];
  #draining = false;
  #retireTold = false;

  constructor(duplex: Duplex, options: ConnectOptions) {
    this.#options = options;
    this.#session = createH2Session(
      "client",
      duplex,
      { ...options.http2, clock: options.clock },
      {
        onGoaway: () => this.#retire(),
        onSettings: () => this.#askUpgrades(),
        onCapacity: () => options.onRoom?.(),
        onClose: (error) => this.#onClose(error),
      },
    );
  }

  get active(): number {
    return this.#session.activeStreams + this.#waiting.length;
  }

  get hasRoom(): boolean {
    return !this.#draining && this.#session.acceptsStreams && this.active < this.#session.streamLimit;
  }

  request(head: OutgoingRequest, bodyLength: BodyLength, events: UpstreamEvents): UpstreamExchange {
    if (!this.hasRoom) throw noRoom("this HTTP/2 connection takes no request now");
    const bad = unsendable(head.headers);
    if (bad !== undefined) throw unsendableField(bad);
    const init = { events, reused: this.#requests > 0, limits: this.#options };
    const exchange = new Http2ClientExchange(head, bodyLength, init);
    if (head.upgrade !== undefined) this.#requestUpgrade(head, bodyLength, exchange);
    else exchange.onStream(this.#session.request(encodeRequest(head, bodyLength), bodyLength === 0, exchange));
    this.#requests++;
    return exchange;
  }

  drain(): void {
    this.#draining = true;
    this.#retire();
    if (this.#waiting.length === 0) this.#session.shutdown();
  }

  destroy(error: MeshError): void {
    this.#session.destroy(error);
  }

  #requestUpgrade(head: OutgoingRequest, bodyLength: BodyLength, exchange: Http2ClientExchange): void {
    if (bodyLength !== 0) throw misuse("an upgrade with a body");
    if (!this.#session.settingsSeen) this.#waiting.push({ head, exchange });
    else if (this.#session.peerTakesConnectProtocol) this.#openUpgrade(head, exchange);
    else throw upgradeRefused();
  }

  #openUpgrade(head: OutgoingRequest, exchange: Http2ClientExchange): void {
    exchange.onStream(this.#session.request(encodeRequest(head, 0), false, exchange));
  }

  #askUpgrades(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { head, exchange } of waiting) {
      if (exchange.over) continue;
      try {
        if (!this.#session.peerTakesConnectProtocol) throw upgradeRefused();
        this.#openUpgrade(head, exchange);
      } catch (error) {
        exchange.abort(MeshError.from(error, ErrorCode.UPGRADE_REFUSED, { origin: "upstream" }));
      }
    }
    if (this.#draining) this.#session.shutdown();
  }

  #onClose(error: MeshError | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    const cut = error ?? new MeshError(ErrorCode.H2_SESSION_CLOSED, "the session ended", { retry: "safe" });
    for (const { exchange } of waiting) exchange.abort(cut);
    this.#retire();
    this.#options.onClose?.(error);
  }

  #retire(): void {
    if (this.#retireTold) return;
    this.#retireTold = true;
    this.#options.onRetired?.();
  }
}

const upgradeRefused = (): MeshError =>
  new MeshError(ErrorCode.UPGRADE_REFUSED, "the upstream's HTTP/2 takes no extended CONNECT (RFC 8441)", {
    origin: "upstream",
  });
