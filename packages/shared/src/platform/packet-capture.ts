/** Frames of one interface, for a packet capture. */
import type { Clock } from "../time/index.ts";
import type { PacketHandler } from "./api.ts";
import {
  AF_PACKET,
  MSG_DONTWAIT,
  MSG_TRUNC,
  SIOCGSTAMPNS,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
} from "./constants.ts";
import { EAGAIN } from "./errno.ts";
import { callFailed, closeDescriptor, libc } from "./libc.ts";
import { inNetns } from "./netns.ts";
import { encodeLinkAddress } from "./sockaddr.ts";

/** What the kernel keeps between two polls; at 10 Gbit/s it is 25 ms. */
const RECEIVE_BUFFER_BYTES = 32 * 1024 * 1024;
const SNAPSHOT_BYTES = 262_144;
const POLL_MS = 5;
/** So that a flood of frames cannot hold the event loop. */
const FRAMES_PER_POLL = 2_000;

/** A raw socket that sees every frame of the interface from now on. Needs CAP_NET_RAW. */
export function openPacketSocket(netnsFd: number, interfaceName: string): number {
  return inNetns(netnsFd, () => {
    const index = libc().if_nametoindex(interfaceName);
    if (index === 0) throw callFailed("if_nametoindex", interfaceName);
    // Protocol 0: nothing is received before bind() says from which interface.
    const fd = libc().socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) throw callFailed("socket", "of family AF_PACKET");
    const size = Buffer.alloc(4);
    size.writeInt32LE(RECEIVE_BUFFER_BYTES);
    libc().setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, size, size.length);
    const address = encodeLinkAddress(index);
    if (libc().bind(fd, address, address.length) === 0) return fd;
    const failure = callFailed("bind", `to interface ${interfaceName}`);
    closeDescriptor(fd);
    throw failure;
  });
}

/**
 * Reads the socket every 5 ms (libuv cannot watch this kind of descriptor). The frame is only valid during the call.
 * @returns a function that reads what is still queued, then stops and closes the descriptor
 */
export function receivePackets(fd: number, onPacket: PacketHandler, clock: Clock): () => void {
  const buffer = Buffer.allocUnsafeSlow(SNAPSHOT_BYTES);
  let cancel = (): void => undefined;
  const poll = (): void => {
    cancel = clock.after(readQueued(fd, buffer, onPacket) < FRAMES_PER_POLL ? POLL_MS : 0, poll);
  };
  poll();
  let open = true;
  return () => {
    if (!open) return;
    open = false;
    cancel();
    readQueued(fd, buffer, onPacket);
    closeDescriptor(fd);
  };
}

function readQueued(fd: number, buffer: Buffer, onPacket: PacketHandler): number {
  let frames = 0;
  for (; frames < FRAMES_PER_POLL; frames++) {
    const length = libc().recv(fd, buffer, buffer.length, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0) {
      const errno = libc().errno();
      // ENETDOWN and its like: the interface went away; whoever captures learns it from having no more frames.
      if (errno !== EAGAIN) return frames;
      break;
    }
    onPacket(buffer.subarray(0, Math.min(length, buffer.length)), receivedAtMicros(fd), length);
  }
  return frames;
}

function receivedAtMicros(fd: number): number {
  const time = Buffer.alloc(16);
  if (libc().ioctl(fd, SIOCGSTAMPNS, "void *", time) < 0) return Date.now() * 1000;
  return Number(time.readBigInt64LE(0)) * 1_000_000 + Math.trunc(Number(time.readBigInt64LE(8)) / 1000);
}
