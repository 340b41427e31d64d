import { type ConfigMistake, nearestName } from "@ambit/shared/config";
import { err, ok, type Result } from "@ambit/shared/errors";

const COMMANDS = ["proxy", "version", "help"] as const;
export type Command = (typeof COMMANDS)[number];

export const USAGE = `usage: waypoint [proxy|version|help]

  proxy    run (the default)
  version  print the version
  help     print this

Everything else is configured by environment variables: docs/configuration.md.
`;

/** Reads the command line after the program's name. Every word that means nothing is a mistake. */
export function parseArguments(args: readonly string[]): Result<Command, readonly ConfigMistake[]> {
  const mistakes: ConfigMistake[] = [];
  let command: Command | undefined;
  for (const arg of args) {
    const word = arg === "--help" || arg === "-h" ? "help" : arg === "--version" ? "version" : arg;
    const known = COMMANDS.find((each) => each === word);
    if (known && (command === undefined || known === "help")) command = known;
    else mistakes.push(mistakeOf(arg));
  }
  return mistakes.length > 0 ? err(mistakes) : ok(command ?? "proxy");
}

function mistakeOf(arg: string): ConfigMistake {
  const nearest = nearestName(arg, [...COMMANDS, "--help", "--version"]);
  const what = arg.startsWith("-") ? "unknown flag" : "unknown argument";
  return { name: arg, value: "", reason: `${what}${nearest ? `; did you mean ${nearest}?` : ""}` };
}
