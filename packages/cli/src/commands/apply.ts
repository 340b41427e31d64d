import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { ApplyResult } from "@ambit/shared/lab-client";
import type { Command } from "commander";
import { readManifests } from "../manifests.ts";
import { print, printJson } from "../output.ts";
import { kindOf } from "../render/objects.ts";
import { renderProblems } from "../render/problems.ts";
import { collect, type LabOption, labOf, type OutputOption, withLab, withOutput } from "./options.ts";

interface ApplyOptions extends LabOption, OutputOption {
  readonly file: readonly string[];
}

interface DeleteOptions extends ApplyOptions {
  readonly namespace: string;
}

export function addApply(program: Command): void {
  const command = program
    .command("apply")
    .description("create or change objects; what is invalid is named (file, line, field) and the rest still applies")
    .requiredOption("-f, --file <path>", "a file, a folder, or - for standard input (repeatable)", collect);
  withOutput(withLab(command)).action(async (options: ApplyOptions) => {
    report(await labOf(options).apply(await readManifests(options.file)), options);
  });
}

export function addDelete(program: Command): void {
  const command = program
    .command("delete")
    .argument("[kind]", "what to delete, when no -f is given")
    .argument("[object]", "its name")
    .description("delete objects")
    .option("-n, --namespace <namespace>", "namespace of a namespaced object", "default")
    .option("-f, --file <path>", "delete what these manifests name (repeatable)", collect, []);
  withOutput(withLab(command)).action(
    async (kind: string | undefined, name: string | undefined, options: DeleteOptions) => {
      const lab = labOf(options);
      if (options.file.length > 0)
        return report(await lab.delete({ files: await readManifests(options.file) }), options);
      if (!kind || !name)
        throw new MeshError(ErrorCode.CONFIG_INVALID, "expected KIND NAME, or -f FILE; see: ambit delete --help");
      report(await lab.delete({ kind: kindOf(kind), namespace: options.namespace, name }), options);
    },
  );
}

function report(answer: ApplyResult, options: OutputOption): void {
  if (options.output === "json") printJson(answer);
  else print(answer.results.map((result) => `${result.object} ${result.action}\n`).join(""));
  process.stderr.write(renderProblems(answer.problems));
  if (answer.problems.length > 0) process.exitCode = 1;
}
