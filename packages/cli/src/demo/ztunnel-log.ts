import { text } from "node:stream/consumers";
import { type DemoContext, eventually } from "./check.ts";

/** One access-log line of a ztunnel (LOG_FORMAT=json). */
export interface AccessLine {
  readonly message: string;
  readonly node: string;
  readonly [field: string]: unknown;
}

/** The latest access-log lines of every node's ztunnel. */
export async function accessLog(context: DemoContext, tail = 400): Promise<AccessLine[]> {
  const { nodes } = await context.lab.status();
  const logs = await Promise.all(
    nodes.map(async (node) => {
      const lines = (await text(await context.lab.logs(`ztunnel/${node.name}`, { tail }))).split("\n");
      return lines.flatMap((line) => parseLine(line, node.name));
    }),
  );
  return logs.flat();
}

function parseLine(line: string, node: string): AccessLine[] {
  try {
    const fields = JSON.parse(line) as Record<string, unknown>;
    return fields["scope"] === "access" ? [{ ...fields, message: String(fields["message"]), node }] : [];
  } catch {
    return [];
  }
}

/** The refusal a policy caused, as the access log of the destination's node tells it. */
export function refusalBy(context: DemoContext, policy: string): Promise<AccessLine | undefined> {
  return eventually(async () => (await accessLog(context)).findLast((line) => line["policy"] === policy), 5_000);
}

/** The fields worth showing of one line. */
export function describeLine(line: AccessLine): string {
  const wanted = [
    "direction",
    "src.identity",
    "dst.identity",
    "dst.service",
    "bytes_sent",
    "bytes_recv",
    "error",
    "reason",
    "policy",
  ];
  const shown = wanted.flatMap((name) => (line[name] === undefined ? [] : [`${name}=${String(line[name])}`]));
  return `ztunnel/${line.node}: ${line.message}: ${shown.join(" ")}`;
}
