import { LabClient } from "@ambit/shared/lab-client";
import { type Command, InvalidArgumentError } from "commander";

export const DEFAULT_LAB = "default";

export interface LabOption {
  readonly name: string;
}

export interface OutputOption {
  readonly output?: "json";
}

export const withLab = (command: Command): Command =>
  command.option("--name <name>", "which lab", process.env["AMBIT_LAB"] || DEFAULT_LAB);

export const withOutput = (command: Command): Command =>
  command.option("-o, --output <format>", "json for machines", (value) => {
    if (value !== "json") throw new InvalidArgumentError("expected json");
    return value;
  });

export const labOf = (options: LabOption): LabClient => new LabClient(options.name);

export const collect = (value: string, earlier: string[] = []): string[] => [...earlier, value];
