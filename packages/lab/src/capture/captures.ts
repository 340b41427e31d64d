import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Platform } from "@ambit/shared/platform";
import type { Clock } from "@ambit/shared/time";
import { PcapWriter } from "./pcap-writer.ts";

const MAX_BYTES = 256 * 1024 * 1024;
const MAX_OPEN = 16;

/** Packet captures of nodes' links that are running now. */
export class Captures {
  readonly #platform: Platform;
  readonly #clock: Clock;
  readonly #folder: string;
  readonly #open = new Map<string, { readonly writer: PcapWriter; readonly stop: () => void }>();

  constructor(platform: Platform, clock: Clock, folder: string) {
    this.#platform = platform;
    this.#clock = clock;
    this.#folder = folder;
  }

  /** Every frame on the interface is in the file, from before this returns. Throws MeshError. */
  start(interfaceName: string): { readonly id: string; readonly file: string } {
    if (this.#open.size >= MAX_OPEN)
      throw new MeshError(
        ErrorCode.LAB_COMMAND_FAILED,
        `expected fewer than ${MAX_OPEN} captures at once; stop one first`,
      );
    mkdirSync(this.#folder, { recursive: true });
    const id = randomUUID().slice(0, 8);
    const netns = this.#platform.currentNetns();
    try {
      const fd = this.#platform.openPacketSocket(netns.fd, interfaceName);
      const writer = new PcapWriter(join(this.#folder, `${interfaceName}-${id}.pcap`), MAX_BYTES);
      const stop = this.#platform.receivePackets(fd, (...packet) => writer.write(...packet), this.#clock);
      this.#open.set(id, { writer, stop });
      return { id, file: writer.file };
    } finally {
      netns.close();
    }
  }

  /** What was on the link until now is in the file when this returns. */
  stop(id: string): { readonly file: string; readonly packets: number } {
    const capture = this.#open.get(id);
    if (!capture)
      throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, `expected the id of a running capture, got "${id}"`);
    this.#open.delete(id);
    capture.stop();
    capture.writer.close();
    return { file: capture.writer.file, packets: capture.writer.packets };
  }

  stopAll(): void {
    for (const id of [...this.#open.keys()]) this.stop(id);
  }
}
