/**
 * The HTTP client of end-to-end tests, run inside a pod; prints one line of JSON.
 *   get URL [NAME:VALUE...]          {status, headers, body} of a GET, or {error}
 *   load URL SECONDS RATE [SOCKETS]  RATE requests a second over kept-alive connections, until the time is over or its
 *                                    input ends: {sent, ok, failed, statuses, pods, firstError, longestMs}; prints "open"
 *                                    on stderr after the first answer
 */
import { Agent, type IncomingHttpHeaders, request } from "node:http";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const TIMEOUT_MS = 15_000;
const MAX_BODY = 1 << 20;

function call(url: string, agent: Agent, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, headers }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        if (body.length < MAX_BODY) body += text;
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.setTimeout(TIMEOUT_MS, () => sent.destroy(new Error("timed out")));
    sent.on("error", reject);
    sent.end();
  });
}

const reasonOf = (error: unknown): string =>
  (error as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : String(error));

async function get(url: string, headers: readonly string[]): Promise<unknown> {
  const pairs = headers.map((text) => [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1).trim()]);
  try {
    return await call(url, new Agent(), Object.fromEntries(pairs) as Record<string, string>);
  } catch (error) {
    return { error: reasonOf(error) };
  }
}

class Tally {
  sent = 0;
  ok = 0;
  failed = 0;
  firstError = "";
  longestMs = 0;
  readonly statuses: Record<string, number> = {};
  readonly pods: Record<string, number> = {};

  answered({ status, body }: Answer, tookMs: number): void {
    if (this.ok + this.failed === 0) process.stderr.write("open\n");
    this.longestMs = Math.max(this.longestMs, tookMs);
    this.statuses[status] = (this.statuses[status] ?? 0) + 1;
    if (status !== 200) {
      this.refused(`status ${status}: ${body.slice(0, 200)}`);
      return;
    }
    this.ok++;
    const pod = /"pod":"([^"]*)"/.exec(body)?.[1] ?? "";
    this.pods[pod] = (this.pods[pod] ?? 0) + 1;
  }

  refused(why: string): void {
    this.failed++;
    this.firstError ||= why;
  }
}

async function load(url: string, seconds: number, rate: number, sockets: number): Promise<unknown> {
  const agent = new Agent({ keepAlive: true, maxSockets: sockets });
  const tally = new Tally();
  const running = new Set<Promise<void>>();
  const startedAt = performance.now();
  let isOver = false;
  process.stdin.resume().once("end", () => {
    isOver = true;
  });
  for (;;) {
    const elapsedMs = performance.now() - startedAt;
    if (isOver || elapsedMs >= seconds * 1000) break;
    // Catches up after a pause, so that the rate is what was asked for.
    for (; tally.sent < (elapsedMs / 1000) * rate; tally.sent++) {
      const one = timed(url, agent, tally).finally(() => running.delete(one));
      running.add(one);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await Promise.all(running);
  agent.destroy();
  process.stdin.destroy();
  return { ...tally };
}

async function timed(url: string, agent: Agent, tally: Tally): Promise<void> {
  const startedAt = performance.now();
  try {
    tally.answered(await call(url, agent), performance.now() - startedAt);
  } catch (error) {
    tally.refused(reasonOf(error));
  }
}

const [mode = "", url = "", ...rest] = process.argv.slice(2);
const result =
  mode === "load"
    ? await load(url, Number(rest[0] ?? 1), Number(rest[1] ?? 10), Number(rest[2] ?? 20))
    : await get(url, rest);
process.stdout.write(`${JSON.stringify(result)}\n`);
