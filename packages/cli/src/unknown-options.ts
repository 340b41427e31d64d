import type { Command } from "commander";

/**
 * Every option of a command line that its command does not know, as one sentence each: all at once, where the
 * argument parser would stop at the first. What follows `--`, or the target of a pass-through command, is not looked at.
 */
export function unknownOptions(program: Command, argv: readonly string[]): string[] {
  const { command, path } = commandOf(program, argv);
  if (path.length === 0 || command.name() === "exec") return [];
  const known = knownFlags(command);
  const end = argv.indexOf("--");
  const words = argv.slice(path.length, end < 0 ? undefined : end);
  const problems: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (!/^-./.test(word)) continue;
    const flag = word.startsWith("--") ? (word.split("=")[0] ?? word) : word.slice(0, 2);
    const takesValue = known.get(flag);
    if (takesValue === undefined)
      problems.push(`${path.join(" ")}: unknown option "${word}"${nearest(flag, [...known.keys()])}`);
    else if (takesValue && word === flag) at++;
  }
  return problems;
}

/** The innermost command that the first words name. */
function commandOf(program: Command, argv: readonly string[]): { command: Command; path: readonly string[] } {
  let command = program;
  const path: string[] = [];
  for (const word of argv) {
    const next = command.commands.find((candidate) => candidate.name() === word);
    if (!next) break;
    command = next;
    path.push(word);
  }
  return { command, path };
}

/** Every flag the command knows, and whether a value follows it. */
function knownFlags(command: Command): Map<string, boolean> {
  const known = new Map<string, boolean>([
    ["-h", false],
    ["--help", false],
  ]);
  for (const option of command.options) {
    for (const flag of [option.short, option.long]) if (flag) known.set(flag, option.required);
  }
  return known;
}

function nearest(flag: string, known: readonly string[]): string {
  const close = known.find((candidate) => candidate.startsWith(flag.slice(0, 4)) && candidate.startsWith("--"));
  return close
    ? `; did you mean ${close}?`
    : `; expected one of ${known.filter((name) => name.startsWith("--")).join(", ")}`;
}
