import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "../../errors/index.ts";
import { type Clock, systemClock } from "../../time/index.ts";
import {
  type CreateH2Session,
  H2Code,
  type H2Options,
  type H2Session,
  type H2SessionHandlers,
  type H2Stream,
  type H2StreamHandlers,
  type HeaderList,
} from "../api.ts";
import { decodeGoaway } from "../frames/decode-payload.ts";
import { encodeGoaway, encodePing, encodeSettings, encodeWindowUpdate } from "../frames/encode-frame.ts";
import { FrameReader } from "../frames/frame-reader.ts";
import { CLIENT_PREFACE, DEFAULT_WINDOW_BYTES } from "../frames/frame-type.ts";
import { checkOutgoing } from "../header-rules.ts";
import { closeTransport } from "./close-transport.ts";
import type { SessionCore } from "./core.ts";
import { readDirectly } from "./direct-read.ts";
import { forStream, goawayCodeOf, peerFault, refusedByGoaway, transportClosed, unresponsive } from "./failures.ts";
import { FloodGuard } from "./flood-guard.ts";
import { ReceiveWindow } from "./flow-window.ts";
import { FrameRouter } from "./frame-router.ts";
import { Goodbye } from "./goaway.ts";
import { Keepalive } from "./keepalive.ts";
import { Outbox } from "./outbox.ts";
import { PrefaceCheck } from "./preface.ts";
import { maxBlockBytes } from "./receive-headers.ts";
import { Sender } from "./sender.ts";
import { ownSettings } from "./settings.ts";
import { SettingsExchange } from "./settings-exchange.ts";
import { Stream } from "./stream.ts";
import { StreamLife } from "./stream-life.ts";
import { StreamTable } from "./stream-table.ts";

const KEEPALIVE_PING = Buffer.from("ambit-ka", "latin1");
/** A graceful shutdown waits this long for the PING that tells that the first GOAWAY arrived. */
const SHUTDOWN_PING_MS = 1000;

type Role = "client" | "server";

/** Puts an HTTP/2 session on a connected transport and owns it from here. Spec: RFC 9113. */
export const createH2Session: CreateH2Session = (role, transport, options, handlers) =>
  new Session(role, transport, options, handlers);

/** The life of a session from preface to GOAWAY. Frames are understood by the receivers, streams ended by StreamLife. */
class Session implements H2Session, SessionCore {
  readonly role: Role;
  readonly options: H2Options;
  readonly handlers: H2SessionHandlers;
  readonly outbox: Outbox;
  readonly table: StreamTable;
  readonly life: StreamLife;
  readonly sender: Sender;
  readonly flood: FloodGuard;
  readonly connectionWindow: ReceiveWindow;
  readonly #transport: Duplex;
  readonly #clock: Clock;
  readonly #preface: PrefaceCheck;
  readonly #reader: FrameReader;
  readonly #settings: SettingsExchange;
  readonly #keepalive: Keepalive;
  readonly #goodbye: Goodbye;
  #cancelTimer: () => void;
  #closed = false;

  constructor(role: Role, transport: Duplex, options: H2Options, handlers: H2SessionHandlers) {
    this.role = role;
    this.options = options;
    this.handlers = handlers;
    this.#transport = transport;
    this.#clock = options.clock ?? systemClock;
    this.table = new StreamTable(role);
    this.flood = new FloodGuard(options.flood, this.#clock);
    this.connectionWindow = new ReceiveWindow(Math.max(options.connectionWindowBytes, DEFAULT_WINDOW_BYTES));
    this.outbox = new Outbox(transport, {
      onDrain: () => this.sender.pump(),
      onBacklog: () => this.fail(H2Code.ENHANCE_YOUR_CALM, "the peer makes us answer and does not read"),
    });
    const { table, outbox, connectionWindow } = this;
    this.life = new StreamLife({ role, table, outbox, connectionWindow, onStreamGone: () => this.#onStreamGone() });
    this.sender = new Sender(outbox, this.life, this.flood);
    this.#settings = new SettingsExchange(this);
    this.#goodbye = new Goodbye(role);
    this.#preface = new PrefaceCheck(role);
    const maxHeldBytes = maxBlockBytes(options.maxHeaderListBytes);
    this.#reader = new FrameReader(new FrameRouter(this), { maxFrameBytes: options.maxFrameBytes, maxHeldBytes });
    this.#cancelTimer = this.#clock.after(options.prefaceTimeoutMs, () => this.#onPrefaceTimeout());
    this.#keepalive = new Keepalive(this.#clock, {
      intervalMs: options.pingIntervalMs,
      timeoutMs: options.pingTimeoutMs,
      sendPing: () => this.outbox.sendNow(encodePing(KEEPALIVE_PING, false)),
      onSilent: () => this.destroy(unresponsive(role, options.pingTimeoutMs)),
    });
    this.#sendPreface();
    this.#listen();
  }

  get activeStreams(): number {
    return this.table.size;
  }

  get streamLimit(): number {
    return Math.min(this.sender.peer.maxConcurrentStreams, this.options.maxConcurrentStreams);
  }

  get acceptsStreams(): boolean {
    return !this.#closed && !this.#goodbye.said && this.table.idsLeft;
  }

  get remoteStreamsSeen(): number {
    return this.table.remoteSeen;
  }

  get settingsSeen(): boolean {
    return this.#settings.seen;
  }

  get peerTakesConnectProtocol(): boolean {
    return this.sender.peer.takesConnectProtocol;
  }

  request(headers: HeaderList, endStream: boolean, handlers: H2StreamHandlers): H2Stream {
    const possible = this.role === "client" && this.acceptsStreams && this.table.size < this.streamLimit;
    if (!possible) {
      throw new MeshError(ErrorCode.H2_SESSION_CLOSED, "this HTTP/2 session takes no new stream", { retry: "safe" });
    }
    const checked = checkOutgoing(headers);
    if (!checked.ok) throw new MeshError(ErrorCode.H2_PROTOCOL_ERROR, checked.error);
    const stream = this.newStream(this.table.takeLocalId());
    stream.handlers = handlers;
    this.sender.writeHeaders(stream, headers, endStream);
    return stream;
  }

  shutdown(): void {
    if (this.#closed || this.#goodbye.announced) return;
    this.outbox.sendNow(this.#goodbye.announce());
    if (this.role === "client") {
      this.#finishIfIdle();
      return;
    }
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(SHUTDOWN_PING_MS, () => this.#conclude());
  }

  destroy(error?: MeshError): void {
    if (this.#closed) return;
    const debug = (error?.message ?? "").slice(0, 200);
    this.outbox.sendNow(encodeGoaway(this.table.lastRemoteId, goawayCodeOf(error), debug));
    this.#end(error ?? new MeshError(ErrorCode.H2_SESSION_CLOSED, "the session was destroyed here"), error);
    if (error?.code === ErrorCode.H2_SESSION_UNRESPONSIVE) this.#transport.destroy();
  }

  fail(code: number, message: string): void {
    this.destroy(peerFault(this.role, code, message));
  }

  refusesStream(id: number): boolean {
    return !this.#goodbye.covers(id);
  }

  newStream(id: number): Stream {
    const windows = {
      sendBytes: this.sender.peer.initialWindowBytes,
      receiveBytes: this.#settings.receiveWindowBytes,
    };
    const stream = new Stream(id, { sender: this.sender, life: this.life }, windows);
    this.table.add(stream);
    return stream;
  }

  onPeerSettings(payload: Buffer): void {
    if (!this.#settings.seen) this.#cancelTimer();
    const change = this.#settings.onSettings(payload);
    if (change === undefined) return;
    this.#tellOwner(() => this.handlers.onSettings?.());
    const risen = change.after.maxConcurrentStreams > change.before.maxConcurrentStreams;
    if (risen && this.acceptsStreams) this.#tellOwner(() => this.handlers.onCapacity?.());
  }

  onSettingsAck(): void {
    this.#settings.onAck();
  }

  onPong(opaque: Buffer): void {
    if (this.#goodbye.isAnswerToAnnouncement(opaque)) this.#conclude();
  }

  onGoaway(payload: Buffer): void {
    const goaway = decodeGoaway(payload);
    if (!goaway.ok) {
      this.fail(goaway.error.code, goaway.error.message);
      return;
    }
    const { lastStreamId, code } = goaway.value;
    this.#goodbye.receive(goaway.value);
    if (this.role === "client") this.#closeUnprocessed(lastStreamId, code);
    this.#tellOwner(() => this.handlers.onGoaway?.(lastStreamId, code));
    this.#finishIfIdle();
  }

  #sendPreface(): void {
    const parts = [encodeSettings(ownSettings(this.role, this.options))];
    if (this.role === "client") parts.unshift(CLIENT_PREFACE);
    const extra = this.options.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (extra > 0) parts.push(encodeWindowUpdate(0, extra));
    this.outbox.sendNow(Buffer.concat(parts));
  }

  #listen(): void {
    const transport = this.#transport;
    transport.on("error", (cause) => this.#onTransportGone(cause));
    transport.on("close", () => this.#onTransportGone(undefined));
    transport.on("end", () => this.#onTransportGone(undefined));
    const onChunk = (chunk: Buffer): void => this.#onChunk(chunk);
    // What came before this line is in the stream's own buffer and is emitted first, whichever way the rest takes.
    readDirectly(transport, onChunk);
    transport.on("data", onChunk);
    if (transport.destroyed) process.nextTick(() => this.#onTransportGone(undefined));
  }

  #onChunk(chunk: Buffer): void {
    if (this.#closed) return;
    this.#keepalive.touch();
    const frames = this.#preface.strip(chunk);
    if (frames === undefined) this.fail(H2Code.PROTOCOL_ERROR, "the connection does not begin with the HTTP/2 preface");
    else this.#reader.push(frames);
  }

  #onPrefaceTimeout(): void {
    this.fail(H2Code.SETTINGS_TIMEOUT, `no HTTP/2 preface within ${this.options.prefaceTimeoutMs} ms`);
  }

  #closeUnprocessed(lastStreamId: number, code: number): void {
    for (const stream of this.table.all()) {
      if (stream.id > lastStreamId) this.life.close(stream, refusedByGoaway(this.role, stream.id, code));
    }
  }

  #conclude(): void {
    const final = this.#closed ? undefined : this.#goodbye.conclude(this.table.lastRemoteId);
    if (final === undefined) return;
    this.#cancelTimer();
    this.outbox.sendNow(final);
    this.#finishIfIdle();
  }

  #onStreamGone(): void {
    if (this.#closed) return;
    this.#finishIfIdle();
    if (this.acceptsStreams) this.#tellOwner(() => this.handlers.onCapacity?.());
  }

  /** After GOAWAY, either way, the last stream takes the session with it. */
  #finishIfIdle(): void {
    if (this.#closed || this.table.size > 0 || !this.#goodbye.settled) return;
    const received = this.#goodbye.received;
    const failed = received !== undefined && received.code !== H2Code.NO_ERROR;
    const error = transportClosed(this.role, undefined, received);
    this.#end(error, failed ? error : undefined);
  }

  #onTransportGone(cause: unknown): void {
    if (this.#closed) return;
    const error = transportClosed(this.role, cause, this.#goodbye.received);
    this.#end(error, cause === undefined && this.table.size === 0 ? undefined : error);
    this.#transport.destroy();
  }

  /** The one place where a session ends. */
  #end(streamError: MeshError, sessionError: MeshError | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.stop();
    this.#keepalive.stop();
    this.#cancelTimer();
    this.outbox.close();
    this.sender.clear();
    closeTransport(this.#transport, this.#clock);
    for (const stream of this.table.all()) this.life.close(stream, forStream(streamError, stream.answered));
    try {
      this.handlers.onClose(sessionError);
    } catch {
      // Nobody is left to tell.
    }
  }

  /** A session handler that throws is a bug of the owner's; the session cannot be trusted further. */
  #tellOwner(tell: () => void): void {
    if (this.#closed) return;
    try {
      tell();
    } catch (thrown) {
      const context = { h2Code: H2Code.INTERNAL_ERROR };
      this.destroy(MeshError.from(thrown, ErrorCode.INVARIANT_VIOLATED, { context }));
    }
  }
}
