/** Program entry: command line and environment in, exit code out. Everything else is in app.ts. */
import { type ConfigMistake, configError } from "@ambit/shared/config";
import { compactMemory, compactWhenIdle, createShutdown, guardAgainstBugs, nodeWarning } from "@ambit/shared/lifecycle";
import { createLogSystem, type Logger, type LogSystem } from "@ambit/shared/log";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { type Command, parseArguments, parseConfig, redactConfig, USAGE, type WaypointConfig } from "./config/index.ts";
import { packageVersion } from "./control/version.ts";

/** Codes of sysexits.h. */
const EXIT_USAGE = 64;
const EXIT_SOFTWARE = 70;
const EXIT_UNAVAILABLE = 69;
const FLUSH_MS = 500;

const command = parseArguments(process.argv.slice(2));
const config = parseConfig(process.env);
const mistakes: readonly ConfigMistake[] = [
  ...(command.ok ? [] : command.error),
  ...(config.ok || (command.ok && command.value !== "proxy") ? [] : config.error),
];
if (mistakes.length > 0) {
  process.stderr.write(`waypoint: ${configError(mistakes).message}\n`);
  process.exitCode = EXIT_USAGE;
} else if (command.ok) {
  await run(command.value, config.ok ? config.value : undefined);
}

async function run(what: Command, settings: WaypointConfig | undefined): Promise<void> {
  if (what === "help") process.stdout.write(USAGE);
  else if (what === "version") process.stdout.write(`waypoint ${packageVersion()} (node ${process.version})\n`);
  else if (settings) await proxy(settings);
}

async function proxy(settings: WaypointConfig): Promise<void> {
  // Loaded here, so that help and mistakes do not wait for all of the proxy.
  const [{ startWaypoint }, { createTraffic }, { linuxPlatform }] = await Promise.all([
    import("./app.ts"),
    import("./create-traffic.ts"),
    import("@ambit/shared/platform"),
  ]);
  const logs = createLogSystem(settings.logging);
  const log = logs.scope("app");
  const exit = async (code: number): Promise<void> => {
    await logs.flush(FLUSH_MS);
    process.exit(code);
  };
  guardAgainstBugs(process, log, () => void exit(EXIT_SOFTWARE));
  const shutdown = createShutdown(process, () => process.exit(0));
  announce(settings, logs, log, () => linuxPlatform.raiseFileLimit());
  try {
    const waypoint = await startWaypoint(settings, {
      clock: systemClock,
      random: systemRandom,
      logs,
      createTraffic,
      requestShutdown: (cause) => shutdown.request(cause),
    });
    compactWhenIdle({ clock: systemClock, compact: () => compactMemory(linuxPlatform) });
    const cause = await shutdown.requested;
    log.info("shutting down", { cause, deadline_ms: settings.shutdown.drainDeadlineMs });
    await waypoint.stop(settings.shutdown.drainDeadlineMs);
    log.info("done");
    await exit(0);
  } catch (error) {
    log.error("cannot start", { error: error as Error });
    await exit(EXIT_UNAVAILABLE);
  }
}

function announce(settings: WaypointConfig, logs: LogSystem, log: Logger, raiseFileLimit: () => number): void {
  const warning = nodeWarning(process.version);
  if (warning) log.warn(warning);
  let files = 0;
  try {
    files = raiseFileLimit();
  } catch (error) {
    log.warn("cannot raise the limit of open files", { error: error as Error });
  }
  log.info("starting", { version: packageVersion(), node: process.version, pid: process.pid, files });
  const configLog = logs.scope("config");
  for (const [section, values] of Object.entries(redactConfig(settings))) {
    configLog.info("configuration", { section, values: JSON.stringify(values) });
  }
}
