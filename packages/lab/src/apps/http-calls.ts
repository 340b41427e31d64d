/** HTTP as the traffic client speaks it: single requests, many as fast as they are answered, and paced ones. */
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import type { Duplex } from "node:stream";
import { dial } from "./dial.ts";

export interface GetResult {
  /** 0 when there was no answer; `error` says why. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly error: string;
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What became of many requests. */
export interface Tally {
  readonly sent: number;
  /** Those that were not answered with 200. */
  readonly failed: number;
  readonly firstError: string;
  readonly tookMs: number;
  /** Answers by their status; 0 counts those without one. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Answers of 200 by the version, and by the pod, that their body names. */
  readonly versions: Readonly<Record<string, number>>;
  readonly pods: Readonly<Record<string, number>>;
}

const TIMEOUT_MS = 5_000;
const MAX_BODY_CHARS = 1 << 20;

/** Connections by `dial`, so that requests also work where the mesh is reached by a proxy. */
class DialingAgent extends Agent {
  override createConnection(
    options: { readonly host?: string | null; readonly port?: string | number | null },
    done: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    const failed = (error: unknown): void => (done as (error: unknown) => void)(error);
    void dial(options.host ?? "", Number(options.port)).then((socket) => done(null, socket), failed);
  }
}

/** One request on a connection of its own. Never rejects. */
export async function get(url: string, options: CallOptions = {}): Promise<GetResult> {
  const agent = new DialingAgent();
  try {
    return await call(url, agent, options);
  } finally {
    agent.destroy();
  }
}

function call(url: string, agent: Agent, { method = "GET", headers = {} }: CallOptions): Promise<GetResult> {
  const nothing = (error: unknown): GetResult => ({ status: 0, headers: {}, body: "", error: reasonOf(error) });
  return new Promise((resolve) => {
    const sent = request(url, { agent, method, headers, timeout: TIMEOUT_MS }, (response) => {
      const status = response.statusCode ?? 0;
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        if (body.length < MAX_BODY_CHARS) body += text;
      });
      response.on("end", () => resolve({ status, headers: response.headers, body, error: "" }));
      response.on("error", (error) => resolve({ status: 0, headers: {}, body, error: reasonOf(error) }));
    });
    sent.on("timeout", () => sent.destroy(new Error("timed out")));
    sent.on("error", (error) => resolve(nothing(error)));
    // A connection that was cut before the request began gives no error, only this.
    sent.on("close", () => resolve(nothing({ code: "ECONNRESET" })));
    sent.end();
  });
}

export function reasonOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

/** So many requests over so many kept connections, each sent when the one before it was answered. */
export async function many(url: string, requests: number, connections: number): Promise<Tally> {
  const agent = new DialingAgent({ keepAlive: true, maxSockets: connections });
  const started = performance.now();
  const results: GetResult[] = [];
  let left = requests;
  const worker = async (): Promise<void> => {
    while (left-- > 0) results.push(await call(url, agent, {}));
  };
  await Promise.all(Array.from({ length: connections }, worker));
  agent.destroy();
  return tally(results, performance.now() - started);
}

/** Requests at a steady rate, each on a connection of its own, whether or not those before it were answered. */
export async function loop(url: string, ratePerSecond: number, seconds: number): Promise<Tally> {
  const calls: Promise<GetResult>[] = [];
  const started = performance.now();
  for (let n = 0; n < ratePerSecond * seconds; n++) {
    const waitMs = started + (n * 1000) / ratePerSecond - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    calls.push(get(url));
  }
  return tally(await Promise.all(calls), performance.now() - started);
}

function tally(results: readonly GetResult[], tookMs: number): Tally {
  const good = results.filter(({ status }) => status === 200);
  const bad = results.find(({ status }) => status !== 200);
  return {
    sent: results.length,
    failed: results.length - good.length,
    firstError: bad ? bad.error || `status ${bad.status}: ${bad.body.slice(0, 200)}` : "",
    tookMs: Math.round(tookMs),
    statuses: countBy(results, ({ status }) => String(status)),
    versions: countBy(good, ({ body }) => /"version":"([^"]*)"/.exec(body)?.[1]),
    pods: countBy(good, ({ body }) => /"pod":"([^"]*)"/.exec(body)?.[1]),
  };
}

function countBy(results: readonly GetResult[], keyOf: (result: GetResult) => string | undefined) {
  const counts: Record<string, number> = {};
  for (const result of results) {
    const key = keyOf(result);
    if (key !== undefined) counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
