import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readPcap } from "@ambit/shared/pcap";
import { afterAll, describe, expect, it } from "@jest/globals";
import { PcapWriter } from "./pcap-writer.ts";

const folder = mkdtempSync(join(tmpdir(), "lab-pcap-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("PcapWriter", () => {
  it("writes what the reader reads, with its time, up to its size", () => {
    const writer = new PcapWriter(join(folder, "a.pcap"), 24 + 2 * (16 + 60));
    const frame = Buffer.alloc(60);
    for (let n = 0; n < 3; n++) writer.write(frame, 1_700_000_000_123_456 + n, 60);
    writer.close();
    expect(writer.packets).toBe(2);
    const bytes = readFileSync(writer.file);
    expect(readPcap(bytes)).toMatchObject({ ok: true, value: { frames: 2 } });
    expect([bytes.readUInt32LE(24), bytes.readUInt32LE(28)]).toEqual([1_700_000_000, 123_456]);
  });
});
