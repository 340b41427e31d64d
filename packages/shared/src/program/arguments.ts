import { type ConfigMistake, nearestName } from "../config/index.ts";
import { err, ok, type Result } from "../errors/index.ts";

const COMMANDS = ["proxy", "version", "help"] as const;
export type ProxyCommand = (typeof COMMANDS)[number];

export const usageOf = (program: string): string => `usage: ${program} [proxy|version|help]

  proxy    run (the default)
  version  print the version
  help     print this

Everything else is configured by environment variables: docs/configuration.md.
`;

/**
 * Reads a proxy's command line after the program's name.
 *
 * Differs: Istio's proxies ignore further arguments; here each is a mistake, except the program's own name, which Istio's
 * chart adds.
 */
export function parseProxyArguments(
  program: string,
  args: readonly string[],
): Result<ProxyCommand, readonly ConfigMistake[]> {
  const mistakes: ConfigMistake[] = [];
  let command: ProxyCommand | undefined;
  for (const arg of args) {
    const word = arg === "--help" || arg === "-h" ? "help" : arg === "--version" ? "version" : arg;
    const known = COMMANDS.find((each) => each === word);
    if (known && (command === undefined || known === "help")) command = known;
    else if (arg !== program) mistakes.push(mistakeOf(arg));
  }
  return mistakes.length > 0 ? err(mistakes) : ok(command ?? "proxy");
}

function mistakeOf(arg: string): ConfigMistake {
  const [name = "", ...value] = arg.split("=");
  const nearest = nearestName(name, [...COMMANDS, "--help", "--version"]);
  const hint = nearest ? `; did you mean ${nearest}?` : "";
  const what = name.startsWith("-") ? "unknown flag" : "unknown argument";
  return { name, value: value.join("="), reason: `${what}${hint}` };
}
