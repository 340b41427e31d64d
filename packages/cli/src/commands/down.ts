import { stopLab } from "@ambit/shared/lab-client";
import type { Command } from "commander";
import { note } from "../output.ts";
import { type LabOption, withLab } from "./options.ts";

export function addDown(program: Command): void {
  const command = program.command("down").description("stop a lab and remove everything it made, also after a crash");
  withLab(command).action(async (options: LabOption) => {
    await stopLab(options.name);
    note(`lab "${options.name}" is down`);
  });
}
