/** The `ambit` command: argv in, exit status out. One file a verb in `commands/`. */
import { readFileSync } from "node:fs";
import { MeshError } from "@ambit/shared/errors";
import { programPath } from "@ambit/shared/lab-client";
import { Command, CommanderError } from "commander";
import { addApply, addDelete } from "./commands/apply.ts";
import { addBench } from "./commands/bench.ts";
import { addDemo } from "./commands/demo.ts";
import { addDown } from "./commands/down.ts";
import { addExec } from "./commands/exec.ts";
import { addExplain } from "./commands/explain.ts";
import { addGet } from "./commands/get.ts";
import { addLabel } from "./commands/label.ts";
import { addLogs } from "./commands/logs.ts";
import { addStatus } from "./commands/status.ts";
import { addTest } from "./commands/test.ts";
import { addUp } from "./commands/up.ts";
import { addWaypoint } from "./commands/waypoint.ts";
import { note } from "./output.ts";
import { unknownOptions } from "./unknown-options.ts";

/** Exit statuses: 1 a claim or request failed, 64 the command line was wrong, 70 a bug. */
const EXIT_USAGE = 64;
const EXIT_BUG = 70;

function buildProgram(): Command {
  const version = (JSON.parse(readFileSync(programPath("package.json"), "utf8")) as { version: string }).version;
  const program = new Command("ambit")
    .description("A sidecar-less (ambient) service mesh. Start with: ambit demo")
    .version(version)
    .enablePositionalOptions()
    .showHelpAfterError("(see: ambit --help)")
    .exitOverride();
  for (const add of [
    addDemo,
    addUp,
    addDown,
    addApply,
    addDelete,
    addLabel,
    addGet,
    addExec,
    addStatus,
    addLogs,
    addExplain,
    addWaypoint,
  ]) {
    add(program);
  }
  addTest(program);
  addBench(program);
  for (const command of program.commands) for (const each of [command, ...command.commands]) each.exitOverride();
  return program;
}

async function main(argv: readonly string[]): Promise<void> {
  const program = buildProgram();
  const unknown = unknownOptions(program, argv);
  if (unknown.length > 0) {
    note(unknown.map((line) => `ambit: ${line}`).join("\n"));
    process.exitCode = EXIT_USAGE;
    return;
  }
  await program.parseAsync(argv, { from: "user" });
}

function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    if (error.exitCode !== 0) process.exitCode = EXIT_USAGE;
    return;
  }
  if (error instanceof MeshError) {
    note(`ambit: ${error.message} (${error.code})`);
    process.exitCode = 1;
    return;
  }
  note(`ambit: unexpected failure: ${error instanceof Error ? error.stack : String(error)}`);
  process.exitCode = EXIT_BUG;
}

// A reader that closed the pipe (`| head`) is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

main(process.argv.slice(2)).catch(fail);
