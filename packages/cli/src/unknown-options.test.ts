import { describe, expect, it } from "@jest/globals";
import { Command } from "commander";
import { unknownOptions } from "./unknown-options.ts";

function program(): Command {
  const root = new Command("ambit").enablePositionalOptions();
  root.command("up").option("--name <name>", "").option("--detach", "");
  root.command("waypoint").command("apply").option("--for <type>", "");
  root.command("exec").passThroughOptions();
  return root;
}
const check = (...argv: string[]): string[] => unknownOptions(program(), argv);

describe("unknownOptions", () => {
  it("names every unknown option at once, with the nearest known one", () => {
    expect(check("up", "--nmae", "x", "--detahc")).toEqual([
      'up: unknown option "--nmae"; expected one of --help, --name, --detach',
      'up: unknown option "--detahc"; did you mean --detach?',
    ]);
  });

  it("looks at the innermost command", () => {
    expect(check("waypoint", "apply", "--for", "all")).toEqual([]);
    expect(check("waypoint", "apply", "--forr", "all")).toEqual([
      'waypoint apply: unknown option "--forr"; did you mean --for?',
    ]);
  });

  it("leaves values, what follows --, and pass-through commands alone", () => {
    expect(check("up", "--name", "--odd", "--", "--whatever")).toEqual([]);
    expect(check("exec", "a/b", "--whatever")).toEqual([]);
    expect(check("nothing", "--whatever")).toEqual([]);
  });
});
