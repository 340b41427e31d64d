import { closeSync, openSync, writeSync } from "node:fs";

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const LINK_ETHERNET = 1;
const SNAPSHOT_BYTES = 262_144;
const RECORD_HEADER_BYTES = 16;

/** Appends frames to a classic pcap file, up to a size. Spec: draft-ietf-opsawg-pcap */
export class PcapWriter {
  readonly file: string;
  readonly #fd: number;
  readonly #maxBytes: number;
  #bytes = 24;
  #packets = 0;

  constructor(file: string, maxBytes: number) {
    this.file = file;
    this.#maxBytes = maxBytes;
    this.#fd = openSync(file, "w", 0o600);
    const header = Buffer.alloc(24);
    header.writeUInt32LE(MAGIC_MICROSECONDS, 0);
    header.writeUInt16LE(2, 4);
    header.writeUInt16LE(4, 6);
    header.writeUInt32LE(SNAPSHOT_BYTES, 16);
    header.writeUInt32LE(LINK_ETHERNET, 20);
    writeSync(this.#fd, header);
  }

  get packets(): number {
    return this.#packets;
  }

  /** Frames beyond the size are left out. */
  write(frame: Buffer, atMicros: number, wireLength: number): void {
    const bytes = RECORD_HEADER_BYTES + frame.length;
    if (this.#bytes + bytes > this.#maxBytes) return;
    const record = Buffer.alloc(bytes);
    record.writeUInt32LE(Math.floor(atMicros / 1e6), 0);
    record.writeUInt32LE(Math.floor(atMicros % 1e6), 4);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(wireLength, 12);
    frame.copy(record, RECORD_HEADER_BYTES);
    writeSync(this.#fd, record);
    this.#bytes += bytes;
    this.#packets++;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
