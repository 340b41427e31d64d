/**
 * One TCP connection of an application, made cheap: every connection of a worker reads into the same buffer, and no
 * connection has closures of its own. Bytes never pass through the stream machinery on their way in. A connection that
 * fills the buffer is in bulk: it reads into frames of its own, which are handed on without a copy, until it no longer does.
 */
import net, { type OnReadOpts, Socket } from "node:net";
import { LiveList, type LiveMember } from "@ambit/shared/collections";
import { FRAME_HEADER_BYTES, POOLED_PAYLOAD_BYTES, recycleFrame, takeBlock, takeFrame } from "@ambit/shared/http2";
import type { SocketAddress } from "@ambit/shared/net";
import { ipOf } from "@ambit/shared/net";

/** Who is told what happens on a connection. Methods are called synchronously and must not throw. */
export interface TcpOwner {
  /**
   * `bytes` is only valid during the call: it is the worker's shared read buffer.
   * @returns false to stop reading until `resume`
   */
  onBytes(bytes: Buffer): boolean;
  /**
   * The same for bulk: `FRAME_HEADER_BYTES` of room, then the bytes; a pooled frame, which is the owner's from now on.
   * Absent = this owner is never given any.
   */
  onFrame?(frame: Buffer): boolean;
  /** The peer ended its direction; nothing more will be read. */
  onEof(): void;
  /** Everything written was given to the kernel. */
  onDrain(): void;
  /** Reset, time-out or another socket error. `onClosed` follows. */
  onFailure(error: Error): void;
  /** Both directions are over and the descriptor is closed; exactly once, and the last call. */
  onClosed(): void;
}

/** Bytes of one read at most: what fits one pooled frame. */
const READ_BUFFER_BYTES = POOLED_PAYLOAD_BYTES;
const shared = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
const connectionKey = Symbol("ambit.tcp-connection");
type OwnedSocket = Socket & { [connectionKey]?: TcpConnection };

/** What Node asks for after each read, and once for a new socket: another buffer, or undefined to stay with this one. */
let nextBuffer: Buffer | undefined = shared;
function takeNextBuffer(): Buffer | undefined {
  const next = nextBuffer;
  nextBuffer = shared;
  return next;
}

function onRead(this: unknown, length: number): boolean {
  const connection = (this as OwnedSocket)[connectionKey];
  const goOn = connection?.readInto(length) ?? false;
  nextBuffer = connection?.changedBuffer();
  return goOn;
}
const sharedRead = { buffer: takeNextBuffer, callback: onRead } as unknown as OnReadOpts;

/** Frames that wait for bytes, of all connections of the worker; beyond it a connection in bulk stays with the shared buffer. */
const MAX_READ_FRAMES = 32;
/** A frame that waited this long is given to the next connection in bulk. */
const IDLE_FRAME_MS = 1_000;
/** Connections with a frame of their own; the one that has not read for longest comes first. */
const readingFrames = new LiveList<TcpConnection>();

/** Whether one more connection may have a frame. */
function frameLeft(): boolean {
  if (readingFrames.size < MAX_READ_FRAMES) return true;
  return readingFrames.oldest?.giveUpIdleFrame() ?? false;
}

function onData(this: OwnedSocket, chunk: Buffer): void {
  if (this[connectionKey]?.received(chunk) === false) this.pause();
}
function onEnd(this: OwnedSocket): void {
  this[connectionKey]?.owner.onEof();
}
function onDrain(this: OwnedSocket): void {
  this[connectionKey]?.owner.onDrain();
}
function onError(this: OwnedSocket, error: Error): void {
  this[connectionKey]?.socketFailed(error);
}
function onClose(this: OwnedSocket): void {
  this[connectionKey]?.socketClosed();
}

/** Until an owner takes over: nothing is read, a failure is only remembered. */
const nobody: TcpOwner = {
  onBytes: () => false,
  onEof: () => undefined,
  onDrain: () => undefined,
  onFailure: () => undefined,
  onClosed: () => undefined,
};
const NO_BLOCKS: Buffer[] = [];
const closedEarly = new Error("the connection was closed before it could be served");

/** Pieces this long are part of a stream of them, and are gathered; shorter ones are somebody's message and leave at once. */
const GATHER_BYTES = 8 * 1024;
/** Connections with a block that is not full; their blocks leave at the end of this turn of the event loop. */
let gathering: TcpConnection[] = [];
function flushGathered(): void {
  const flushed = gathering;
  gathering = [];
  for (const connection of flushed) connection.flushBlock();
}

export class TcpConnection {
  owner: TcpOwner = nobody;
  private readonly socket: Socket;
  private failure: Error | undefined;
  private block: Buffer | undefined;
  private filled = 0;
  private inFlight: Buffer[] = NO_BLOCKS;
  private written: ((error?: Error | null) => void) | undefined;
  private closed = false;
  /** The frame the next bytes are read into; absent = the shared buffer. */
  private readFrame: Buffer | undefined;
  private readingMember: LiveMember<TcpConnection> | undefined;
  private readFrameSince = 0;
  private bufferChanged = false;

  private constructor(socket: Socket, directRead: boolean) {
    this.socket = socket;
    (socket as OwnedSocket)[connectionKey] = this;
    socket.on("end", onEnd).on("error", onError).on("drain", onDrain).on("close", onClose);
    if (!directRead) socket.pause().on("data", onData);
  }

  /** Takes over a socket that was accepted paused (`pauseOnConnect`). The given Socket object must not be used again. */
  static adopt(accepted: Socket): TcpConnection {
    if (!directReadWorks()) return new TcpConnection(accepted, false);
    const internals = accepted as unknown as { _handle: unknown };
    const handle = internals._handle;
    internals._handle = null;
    const init = { handle, allowHalfOpen: true, manualStart: true, onread: sharedRead };
    return new TcpConnection(new Socket(init as net.SocketConstructorOpts), true);
  }

  /** Takes over a socket made by `unconnectedSocket` once it is connected. */
  static own(connected: Socket): TcpConnection {
    return new TcpConnection(connected, true);
  }

  /** A paused socket on an unconnected descriptor (bound, marked, in the right namespace); it owns the descriptor. */
  static unconnectedSocket(fd: number): Socket {
    const init = { fd, readable: true, writable: true, allowHalfOpen: true, manualStart: true, onread: sharedRead };
    return new Socket(init as net.SocketConstructorOpts).pause();
  }

  /** Hands the connection to `owner` and reads for it. One that is closed already says so at once. */
  start(owner: TcpOwner): void {
    this.owner = owner;
    if (!this.closed) {
      this.socket.resume();
      return;
    }
    owner.onFailure(this.failure ?? closedEarly);
    owner.onClosed();
  }

  /** @internal A throw is a bug of the owner's: it costs this connection, not the worker. */
  received(bytes: Buffer): boolean {
    try {
      return this.owner.onBytes(bytes);
    } catch (error) {
      this.socket.destroy(error as Error);
      return false;
    }
  }

  /** @internal `length` bytes came into the read frame, or else into the shared buffer. */
  readInto(length: number): boolean {
    const frame = this.readFrame;
    const goOn = frame === undefined ? this.received(shared.subarray(0, length)) : this.receivedFrame(frame, length);
    if (goOn && length === READ_BUFFER_BYTES) this.startReadFrame();
    return goOn;
  }

  /** @internal The buffer of the next read when it is another one than of the last. */
  changedBuffer(): Buffer | undefined {
    if (!this.bufferChanged) return undefined;
    this.bufferChanged = false;
    return this.readFrame?.subarray(FRAME_HEADER_BYTES) ?? shared;
  }

  private receivedFrame(frame: Buffer, length: number): boolean {
    this.endReadFrame();
    const end = FRAME_HEADER_BYTES + length;
    try {
      if (length >= GATHER_BYTES && this.owner.onFrame !== undefined) return this.owner.onFrame(frame.subarray(0, end));
    } catch (error) {
      this.socket.destroy(error as Error);
      return false;
    }
    const goOn = this.received(frame.subarray(FRAME_HEADER_BYTES, end));
    recycleFrame(frame);
    return goOn;
  }

  private startReadFrame(): void {
    if (this.owner.onFrame === undefined || this.closed || !frameLeft()) return;
    this.readingMember = readingFrames.add(this);
    this.readFrame = takeFrame(READ_BUFFER_BYTES);
    this.readFrameSince = performance.now();
    this.bufferChanged = true;
  }

  private endReadFrame(): void {
    this.readingMember?.leave();
    this.readingMember = undefined;
    this.readFrame = undefined;
    this.bufferChanged = true;
  }

  /** @internal Back to the shared buffer, outside of a read: the handle must be told. @returns whether a frame is free now */
  giveUpIdleFrame(): boolean {
    const frame = this.readFrame;
    const handle = (this.socket as unknown as { _handle: { useUserBuffer?(buffer: Buffer): void } | null })._handle;
    if (frame === undefined || performance.now() - this.readFrameSince < IDLE_FRAME_MS) return false;
    if (typeof handle?.useUserBuffer !== "function") return false;
    handle.useUserBuffer(shared);
    this.endReadFrame();
    this.bufferChanged = false;
    recycleFrame(frame);
    return true;
  }

  /** @internal */
  socketFailed(error: Error): void {
    this.failure = error;
    this.owner.onFailure(error);
  }

  /** @internal */
  socketClosed(): void {
    this.closed = true;
    if (this.readFrame !== undefined) {
      recycleFrame(this.readFrame);
      this.endReadFrame();
    }
    this.owner.onClosed();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Queues bytes; the buffer must not change afterwards. @returns false when the caller should wait for `onDrain` */
  write(bytes: Buffer): boolean {
    if (this.socket.destroyed) return true;
    this.flushBlock();
    this.socket.write(bytes);
    return !this.socket.writableNeedDrain;
  }

  /** Queues the bytes behind a frame's header; the frame is used again. @returns false when the caller should wait for `onDrain` */
  writeFrame(frame: Buffer): boolean {
    if (this.socket.destroyed) return true;
    this.flushBlock();
    this.writeRecycled(frame, frame.subarray(FRAME_HEADER_BYTES));
    return !this.socket.writableNeedDrain;
  }

  /** Queues a copy of `bytes`, so a shared read buffer will do. @returns false when the caller should wait for `onDrain` */
  writeCopy(bytes: Buffer): boolean {
    if (this.socket.destroyed) return true;
    if (this.block === undefined && bytes.length < GATHER_BYTES) this.socket.write(Buffer.from(bytes));
    else this.gather(bytes);
    return !this.socket.writableNeedDrain;
  }

  private gather(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.block === undefined) {
        this.block = takeBlock();
        this.filled = 0;
        if (gathering.push(this) === 1) setImmediate(flushGathered);
      }
      const copied = bytes.copy(this.block, this.filled, at);
      this.filled += copied;
      at += copied;
      if (this.filled === this.block.length) this.flushBlock();
    }
  }

  /** @internal Writes what was gathered; the block is used again once the kernel has it. */
  flushBlock(): void {
    const block = this.block;
    if (block === undefined) return;
    this.block = undefined;
    if (!this.socket.destroyed) this.writeRecycled(block, block.subarray(0, this.filled));
  }

  /** Writes `part` of a pooled buffer, which is free again once the kernel has it. */
  private writeRecycled(pooled: Buffer, part: Buffer): void {
    if (this.written === undefined) this.inFlight = [];
    this.written ??= (error) => {
      const done = this.inFlight.shift();
      if (done !== undefined && !error) recycleFrame(done);
    };
    this.inFlight.push(pooled);
    this.socket.write(part, this.written);
  }

  /** FIN after everything written; the other direction stays open. */
  end(): void {
    this.flushBlock();
    this.socket.end();
  }

  /** Flushes what was written, then closes both directions. */
  endAndClose(): void {
    this.flushBlock();
    this.socket.destroySoon();
  }

  /** RST: the peer learns that the other side failed. */
  reset(): void {
    if (this.socket.connecting) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  destroy(): void {
    this.socket.destroy();
  }

  get destroyed(): boolean {
    return this.socket.destroyed;
  }

  /** Bytes written and not yet taken by the kernel. */
  get queuedBytes(): number {
    return this.socket.writableLength + (this.block === undefined ? 0 : this.filled);
  }

  get remote(): SocketAddress | undefined {
    return addressOf(this.socket.remoteAddress, this.socket.remotePort);
  }

  get local(): SocketAddress | undefined {
    return addressOf(this.socket.localAddress, this.socket.localPort);
  }

  /** Descriptor number, for the platform's socket calls; -1 when closed. */
  get fd(): number {
    return (this.socket as unknown as { _handle: { fd: number } | null })._handle?.fd ?? -1;
  }
}

function addressOf(ip: string | undefined, port: number | undefined): SocketAddress | undefined {
  return ip === undefined || port === undefined ? undefined : { ip: ipOf(ip), port };
}

let directRead: boolean | undefined;
/**
 * Whether an accepted handle can be moved to a Socket with `onread`. Both halves are undocumented (the option is
 * public, the handle is not), so it is looked at once, and without it plain 'data' events are used.
 */
export function directReadWorks(): boolean {
  directRead ??= (() => {
    const probe = new Socket({ onread: sharedRead } as net.SocketConstructorOpts) as unknown as { _handle?: unknown };
    return "_handle" in probe && typeof net.Socket.prototype.resetAndDestroy === "function";
  })();
  return directRead;
}
