import { parseTarget, spawnIn } from "@ambit/shared/lab-client";
import type { Command } from "commander";
import { type LabOption, labOf, withLab } from "./options.ts";

export function addExec(program: Command): void {
  const command = program
    .command("exec")
    .argument("<target>", "NAMESPACE/POD (the name of its Deployment will do) or node/NAME")
    .argument("<command...>", "what to run there, after --")
    .description("run a command inside a pod or on a node")
    .passThroughOptions();
  withLab(command).action(async (target: string, argv: string[], options: LabOption) => {
    const child = await spawnIn(labOf(options), parseTarget(target), argv, "inherit");
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
    process.exitCode = await new Promise<number>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => resolve(code ?? (signal ? 130 : 1)));
    });
  });
}
