/** What the proxies' programs have in common: command line and environment in, exit code out. */
import { type ConfigMistake, configError } from "../config/index.ts";
import type { Result } from "../errors/index.ts";
import { compactMemory, compactWhenIdle, createShutdown, guardAgainstBugs, nodeWarning } from "../lifecycle/index.ts";
import { createLogSystem, type LogOptions, type LogSystem } from "../log/index.ts";
import type { Platform } from "../platform/index.ts";
import { systemClock } from "../time/index.ts";
import { parseProxyArguments, usageOf } from "./arguments.ts";

/** Codes of sysexits.h. */
export const ExitCode = { OK: 0, USAGE: 64, UNAVAILABLE: 69, SOFTWARE: 70 } as const;
const FLUSH_MS = 500;

/** What every proxy's configuration has. */
export interface ProxyConfig {
  readonly logging: Pick<LogOptions, "format" | "levels">;
  readonly shutdown: { readonly drainDeadlineMs: number };
}

export interface ProxyKit {
  readonly logs: LogSystem;
  readonly platform: Platform;
  /** Asks for an orderly end. */
  requestShutdown(cause: string): void;
}

export interface ProxyProgram<C extends ProxyConfig> {
  readonly name: string;
  readonly version: string;
  readonly config: Result<C, readonly ConfigMistake[]>;
  /** As it may be shown, by section. */
  redact(config: C): Readonly<Record<string, unknown>>;
  /** Loads and starts the proxy; rejects when something it needs cannot be had. */
  start(config: C, kit: ProxyKit): Promise<{ stop(deadlineMs: number): Promise<void> }>;
  /** Of an orderly end; default 0. */
  exitCodeOf?(cause: string): number;
}

/** Runs the program; resolves when there is nothing to run, ends the process otherwise. */
export async function runProxy<C extends ProxyConfig>(program: ProxyProgram<C>): Promise<void> {
  const { name, version, config } = program;
  const command = parseProxyArguments(name, process.argv.slice(2));
  const mistakes: readonly ConfigMistake[] = [
    ...(command.ok ? [] : command.error),
    ...(config.ok || (command.ok && command.value !== "proxy") ? [] : config.error),
  ];
  if (mistakes.length > 0 || !command.ok) {
    process.stderr.write(`${name}: ${configError(mistakes).message}\n`);
    process.exitCode = ExitCode.USAGE;
  } else if (command.value === "help") process.stdout.write(usageOf(name));
  else if (command.value === "version") process.stdout.write(`${name} ${version} (node ${process.version})\n`);
  else if (config.ok) await proxy(program, config.value);
}

async function proxy<C extends ProxyConfig>(program: ProxyProgram<C>, config: C): Promise<void> {
  // Loaded here, so that help and mistakes do not wait for it.
  const { linuxPlatform } = await import("../platform/index.ts");
  const logs = createLogSystem(config.logging);
  const log = logs.scope("app");
  const exit = async (code: number): Promise<void> => {
    await logs.flush(FLUSH_MS);
    process.exit(code);
  };
  guardAgainstBugs(process, log, () => void exit(ExitCode.SOFTWARE));
  const shutdown = createShutdown(process, () => process.exit(ExitCode.OK));
  announce(program, config, logs, linuxPlatform);
  try {
    const requestShutdown = (cause: string): void => shutdown.request(cause);
    const running = await program.start(config, { logs, platform: linuxPlatform, requestShutdown });
    compactWhenIdle({ clock: systemClock, compact: () => compactMemory(linuxPlatform) });
    const cause = await shutdown.requested;
    const { drainDeadlineMs } = config.shutdown;
    log.info("shutting down", { cause, deadline_ms: drainDeadlineMs });
    await running.stop(drainDeadlineMs);
    log.info("done");
    await exit(program.exitCodeOf?.(cause) ?? ExitCode.OK);
  } catch (error) {
    log.error("cannot start", { error: error as Error });
    await exit(ExitCode.UNAVAILABLE);
  }
}

function announce<C extends ProxyConfig>(
  { version, redact }: ProxyProgram<C>,
  config: C,
  logs: LogSystem,
  platform: Platform,
): void {
  const log = logs.scope("app");
  const warning = nodeWarning(process.version);
  if (warning) log.warn(warning);
  let files = 0;
  try {
    files = platform.raiseFileLimit();
  } catch (error) {
    log.warn("cannot raise the limit of open files", { error: error as Error });
  }
  log.info("starting", { version, node: process.version, pid: process.pid, files });
  const configLog = logs.scope("config");
  for (const [section, values] of Object.entries(redact(config))) {
    configLog.info("configuration", { section, values: JSON.stringify(values) });
  }
}
