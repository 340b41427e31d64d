import type { Command } from "commander";

/**
 * Every option of a command line that its command does not know, as one sentence each: all at once, where the
 * argument parser would stop at the first. What follows `--`, or the target of a pass-through command, is not looked at.
 */
export function unknownOptions(program: Command, argv: readonly string[]): string[] {
  const command = program.commands.find((candidate) => candidate.name() === argv[0]);
  if (!command || command.name() === "exec") return [];
  const known = new Map(
    command.options.flatMap((option) => [option.short, option.long].filter(Boolean).map((flag) => [flag, option])),
  );
  const problems: string[] = [];
  for (let at = 1; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word === "--") break;
    if (!/^-./.test(word) || word === "-h" || word === "--help") continue;
    const flag = word.startsWith("--") ? (word.split("=")[0] ?? word) : word.slice(0, 2);
    const option = known.get(flag);
    if (!option) problems.push(`${argv[0]}: unknown option "${word}"${nearest(flag, [...known.keys()] as string[])}`);
    else if (option.required && !word.includes("=") && word.length === flag.length) at++;
  }
  return problems;
}

function nearest(flag: string, known: readonly string[]): string {
  const close = known.find((candidate) => candidate.startsWith(flag.slice(0, 4)) && candidate.startsWith("--"));
  return close
    ? `; did you mean ${close}?`
    : `; expected one of ${known.filter((name) => name.startsWith("--")).join(", ")}`;
}
