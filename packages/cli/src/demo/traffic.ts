import { programPath, runIn } from "@ambit/shared/lab-client";
import { type DemoContext, eventually } from "./check.ts";
import { LAYER7 } from "./layer7.ts";
import { SHOP } from "./shop.ts";

const CLIENT = programPath("packages/lab/src/apps/traffic-client.ts");

export interface GetResult {
  /** 0 when there was no answer; `error` says why. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly error: string;
}

/** What became of many requests; the rest is by answers. */
export interface LoopResult {
  readonly sent: number;
  readonly failed: number;
  readonly firstError: string;
  readonly tookMs: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly versions: Readonly<Record<string, number>>;
  readonly pods: Readonly<Record<string, number>>;
}

export interface HoldResult {
  readonly lines: number;
  readonly heldMs: number;
  readonly ended: string;
}

/** Runs the traffic client inside a pod, named `NAMESPACE/POD`, and reads its one line of JSON. */
export async function fromPod<T>(
  context: DemoContext,
  pod: string,
  args: readonly (string | number)[],
  timeoutMs = 30_000,
): Promise<T> {
  const [namespace = "", name = ""] = pod.split("/");
  const command = [process.execPath, CLIENT, ...args.map(String)];
  const result = await runIn(context.lab, { namespace, pod: name }, command, timeoutMs);
  try {
    return JSON.parse(result.stdout) as T;
  } catch {
    throw new Error(
      `the client in ${pod} ended with status ${result.exitCode}: ${(result.stderr || result.stdout).slice(0, 400)}`,
    );
  }
}

export const getFrom = (context: DemoContext, pod: string, url: string, ...more: string[]): Promise<GetResult> =>
  fromPod<GetResult>(context, pod, ["get", url, ...more]);

/** So many requests over so many kept connections. */
export const manyFrom = (
  context: DemoContext,
  pod: string,
  url: string,
  [requests, connections]: readonly [number, number],
) => fromPod<LoopResult>(context, pod, ["many", url, requests, connections], 60_000);

export const describeLoop = ({ sent, failed, firstError }: LoopResult): string =>
  `${sent} requests, ${failed} failed${failed ? ` (${firstError})` : ""}`;

export const describeGet = (url: string, result: GetResult): string =>
  result.status > 0 ? `${url} -> HTTP ${result.status}` : `${url} -> ${result.error}`;

/** Waits until answers of the catalog name the route; undefined: until no route is named. @returns ms, or undefined */
export async function untilRouted(context: DemoContext, routeName: string | undefined): Promise<number | undefined> {
  const started = performance.now();
  const inForce = await eventually(async () => {
    const answer = await getFrom(context, SHOP.web, SHOP.catalogUrl);
    return answer.status === 200 && answer.headers[LAYER7.routeHeader] === routeName ? answer : undefined;
  }, 10_000);
  return inForce && Math.round(performance.now() - started);
}
