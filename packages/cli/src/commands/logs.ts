import { pipeline } from "node:stream/promises";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { findPod, type LabClient } from "@ambit/shared/lab-client";
import type { Command } from "commander";
import { type LabOption, labOf, withLab } from "./options.ts";

interface LogsOptions extends LabOption {
  readonly tail?: number;
  readonly follow?: boolean;
}

export function addLogs(program: Command): void {
  const command = program
    .command("logs")
    .argument("<target>", "NAMESPACE/POD (the name of its Deployment will do), ztunnel/NODE, control-plane, or lab")
    .description("show a log; every proxied connection has one line in its node's ztunnel log")
    .option("--tail <lines>", "only the last lines", parseCount)
    .option("-f, --follow", "go on as it grows");
  withLab(command).action(async (target: string, { tail, follow, name }: LogsOptions) => {
    const options = { ...(tail === undefined ? {} : { tail }), ...(follow === undefined ? {} : { follow }) };
    const lab = labOf({ name });
    const stream = await lab.logs(await exactTarget(lab, target), options);
    process.once("SIGINT", () => stream.destroy());
    await pipeline(stream, process.stdout, { end: false }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ERR_STREAM_PREMATURE_CLOSE" && error.code !== "EPIPE") throw error;
    });
  });
}

/** The name of a Deployment means one of its pods; everything else is for the lab to judge. */
async function exactTarget(lab: LabClient, target: string): Promise<string> {
  const [namespace = "", name = "", ...rest] = target.split("/");
  if (name === "" || namespace === "ztunnel" || rest.length > 0) return target;
  return findPod(lab, namespace, name).then(
    (pod) => `${pod.namespace}/${pod.name}`,
    () => target,
  );
}

function parseCount(text: string): number {
  if (!/^\d{1,7}$/.test(text))
    throw new MeshError(ErrorCode.CONFIG_INVALID, `--tail: expected a number of lines, got "${text}"`);
  return Number(text);
}
