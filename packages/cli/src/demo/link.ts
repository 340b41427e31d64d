import { readFile } from "node:fs/promises";
import type { IpAddress } from "@ambit/shared/net";
import { type CapturedSegment, readPcap } from "@ambit/shared/pcap";
import type { DemoContext } from "./check.ts";

const HBONE_PORT = 15008;

/** What crossed the nodes' links between two sets of pods while something ran. */
export interface LinkReport {
  readonly hbone: readonly CapturedSegment[];
  readonly other: readonly CapturedSegment[];
  /** Text an onlooker can read, first line of each such segment. */
  readonly readable: readonly string[];
  readonly files: readonly string[];
}

/** Captures every node's link while `action` runs and sorts the pods' TCP payload into HBONE and everything else. */
export async function watchLinks(
  context: DemoContext,
  pods: ReadonlySet<string>,
  action: () => Promise<unknown>,
): Promise<LinkReport> {
  const { nodes } = await context.lab.status();
  const captures = await Promise.all(nodes.map((node) => context.lab.startCapture(node.name)));
  await action();
  // The last segments are on the wire before the application sees its answer, but the reader polls.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const stopped = await Promise.all(captures.map((capture) => context.lab.stopCapture(capture.id)));
  const segments = (await Promise.all(stopped.map((capture) => segmentsOf(capture.file)))).flat();
  const between = segments.filter((one) => one.payload.length > 0 && pods.has(one.source) && pods.has(one.destination));
  const isHbone = (one: CapturedSegment): boolean =>
    one.sourcePort === HBONE_PORT || one.destinationPort === HBONE_PORT;
  return {
    hbone: between.filter(isHbone),
    other: between.filter((one) => !isHbone(one)),
    readable: between.flatMap((one) => readableText(one.payload)),
    files: stopped.map((capture) => capture.file),
  };
}

async function segmentsOf(file: string): Promise<readonly CapturedSegment[]> {
  const capture = readPcap(await readFile(file));
  if (!capture.ok) throw new Error(`${file}: ${capture.error}`);
  return capture.value.segments;
}

/** The first line when it is mostly printable, as HTTP and text protocols are. */
function readableText(payload: Buffer): string[] {
  const line = payload.subarray(0, 120).toString("latin1").split("\r\n")[0] ?? "";
  return /^[\x20-\x7e]{8,}/.test(line) ? [line.trim()] : [];
}

/** TLS record of type handshake or application data, version 3.x, at the start of a segment. */
export const startsTlsRecord = (segment: CapturedSegment): boolean =>
  (segment.payload[0] === 0x16 || segment.payload[0] === 0x17) && segment.payload[1] === 0x03;

export async function podAddresses(context: DemoContext, namespace: string): Promise<ReadonlySet<IpAddress | string>> {
  const { pods } = await context.lab.status();
  return new Set(pods.filter((pod) => pod.namespace === namespace).map((pod) => pod.ip));
}
