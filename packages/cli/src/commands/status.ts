import type { Command } from "commander";
import { print, printJson } from "../output.ts";
import { renderProblems } from "../render/problems.ts";
import { renderStatus } from "../render/status.ts";
import { type LabOption, labOf, type OutputOption, withLab, withOutput } from "./options.ts";

export function addStatus(program: Command): void {
  const command = program
    .command("status")
    .description("what runs, what is enrolled, and what is wrong with the input");
  withOutput(withLab(command)).action(async (options: LabOption & OutputOption) => {
    const status = await labOf(options).status();
    if (options.output === "json") return printJson(status);
    print(renderStatus(status));
    process.stderr.write(renderProblems(status.problems));
  });
}
