import { findPod, type PodStatus, runIn } from "@ambit/shared/lab-client";
import { type DemoContext, eventually } from "./check.ts";
import { parseSamples, type Sample } from "./samples.ts";

const GET = "process.stdout.write(await (await fetch(process.argv[1])).text())";
const METRICS_PORT = 15020;
const ADMIN_PORT = 15000;

/** `NAMESPACE/POD`, or a Deployment's name for the pod. */
export function podOf(context: DemoContext, target: string): Promise<PodStatus> {
  const [namespace = "", name = ""] = target.split("/");
  return findPod(context.lab, namespace, name);
}

/** Waits for a ready pod. Throws when there is none in time. */
export async function readyPod(context: DemoContext, target: string): Promise<PodStatus> {
  const pod = await eventually(async () => {
    const found = await podOf(context, target).catch(() => undefined);
    return found?.ready ? found : undefined;
  }, 20_000);
  if (!pod) throw new Error(`${target} has no ready pod after 20 s`);
  return pod;
}

/** The body of a GET that a pod sends to itself; nothing of the mesh is in between. */
export async function askPod(context: DemoContext, target: string, port: number, path: string): Promise<string> {
  const { namespace, name, ip } = await podOf(context, target);
  // Without namespaces each pod listens on its own address only.
  const host = context.mode === "loopback" ? ip : "localhost";
  const command = [process.execPath, "--input-type=module", "-e", GET, `http://${host}:${port}${path}`];
  const { exitCode, stdout, stderr } = await runIn(context.lab, { namespace, pod: name }, command);
  if (exitCode !== 0) throw new Error(`${target} did not answer at port ${port}: ${stderr.slice(-400)}`);
  return stdout;
}

/** Samples of one metric of a proxy's pod. */
export const samplesOf = async (context: DemoContext, target: string, metric: string): Promise<readonly Sample[]> =>
  parseSamples(await askPod(context, target, METRICS_PORT, "/metrics"), metric);

export interface Refusal {
  readonly reason: string;
  readonly policy?: string;
  readonly message: string;
}

export async function refusalsOf(context: DemoContext, target: string): Promise<readonly Refusal[]> {
  return JSON.parse(await askPod(context, target, ADMIN_PORT, "/debug/refusals")) as Refusal[];
}
