/** Clients that write bytes no HTTP library would, through a tunnel of a whole waypoint. */
import type { Duplex } from "node:stream";
import type { RbacPolicy } from "../src/policy/index.ts";
import type { TestWaypoint } from "./pipeline-fixtures.ts";

/** What the policies of a chain were asked about, in order. */
export interface Judged {
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly fields: readonly string[];
  readonly allowed: boolean;
}

/** A DENY policy that writes down what it sees, and denies what `denies` says. */
export function witness(denies: (judged: Omit<Judged, "allowed">) => boolean = () => false) {
  const judged: Judged[] = [];
  const matches: RbacPolicy["matches"] = ({ http }) => {
    if (http === undefined) return true;
    const value = (name: string): string => http.headers.find(([key]) => key === name)?.[1] ?? "";
    const seen = {
      method: http.method,
      target: value(":path"),
      authority: http.authority,
      fields: http.headers.filter(([name]) => !name.startsWith(":")).map(([name, text]) => `${name}: ${text}`),
    };
    const denied = denies(seen);
    judged.push({ ...seen, allowed: !denied });
    return denied;
  };
  const policy: RbacPolicy = { name: "ns[shop]-policy[witness]-rule[0]", matches };
  const authorization = { custom: [], rules: [{ action: "deny", enforced: [policy], dryRun: [] }] } as const;
  return { judged, authorization };
}

/**
 * Writes the bytes and returns what comes (latin1), until the waypoint closes or has been quiet for `quietMs` after at
 * least one byte or `patienceMs` without any.
 */
export async function converse(
  waypoint: TestWaypoint,
  bytes: string | Buffer,
  { quietMs = 40, patienceMs = 120 } = {},
): Promise<string> {
  const socket = await waypoint.dial();
  return listen(socket, () => socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes), {
    quietMs,
    patienceMs,
  });
}

export function listen(
  socket: Duplex,
  speak: () => void,
  { quietMs, patienceMs }: { readonly quietMs: number; readonly patienceMs: number },
): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const done = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    let heard = 0;
    // Time may have passed without the loop having run: what is on its way gets its turns.
    const silence = async (): Promise<void> => {
      const before = heard;
      await turnsOfTheLoop();
      if (heard === before) done();
    };
    let timer = setTimeout(silence, patienceMs);
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      heard += 1;
      clearTimeout(timer);
      timer = setTimeout(silence, quietMs);
    });
    socket.on("end", done);
    socket.on("close", done);
    speak();
  });
}

/** More turns than any message takes between client, waypoint and application of one process. */
export async function turnsOfTheLoop(count = 50): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Statuses of the answers in `text`, in order. */
export const statusesOf = (text: string): readonly number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

/** Fields of the mesh itself: they differ between what was judged and what was sent by design. */
const OF_MESH =
  /^(x-request-id|x-forwarded-proto|x-envoy-[a-z-]+|x-b3-[a-z]+|b3|traceparent|tracestate|host|content-length|transfer-encoding|connection|te|expect|keep-alive): /;

export const ownFields = (fields: readonly string[]): readonly string[] => fields.filter((text) => !OF_MESH.test(text));
