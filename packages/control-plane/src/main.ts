/** Program entry: environment in, exit code out. Everything else is in app.ts. */
import { type ConfigMistake, configError } from "@ambit/shared/config";
import { createShutdown, guardAgainstBugs } from "@ambit/shared/lifecycle";
import { createLogSystem } from "@ambit/shared/log";
import { systemClock } from "@ambit/shared/time";
import { startControlPlane } from "./app.ts";
import { type ControlPlaneConfig, parseConfig } from "./config/index.ts";

/** Codes of sysexits.h. */
const EXIT_USAGE = 64;
const EXIT_UNAVAILABLE = 69;
const EXIT_SOFTWARE = 70;
const FLUSH_MS = 500;

const config = parseConfig(process.env);
const mistakes: readonly ConfigMistake[] = [
  ...unknownArguments(process.argv.slice(2)),
  ...(config.ok ? [] : config.error),
];
if (mistakes.length > 0) {
  process.stderr.write(`control-plane: ${configError(mistakes).message}\n`);
  process.exitCode = EXIT_USAGE;
} else if (config.ok) {
  await run(config.value);
}

function unknownArguments(args: readonly string[]): ConfigMistake[] {
  return args.map((name) => ({
    name,
    value: "",
    reason: "unknown argument; everything is configured by environment variables",
  }));
}

async function run(settings: ControlPlaneConfig): Promise<void> {
  const logs = createLogSystem(settings.logging);
  const log = logs.scope("app");
  const exit = async (code: number): Promise<void> => {
    await logs.flush(FLUSH_MS);
    process.exit(code);
  };
  guardAgainstBugs(process, log, () => void exit(EXIT_SOFTWARE));
  const shutdown = createShutdown(process, () => process.exit(0));
  try {
    const starting = startControlPlane(settings, {
      clock: systemClock,
      logs,
      requestShutdown: (cause) => shutdown.request(cause),
    });
    // Starting waits for the objects, for as long as they cannot be read; a shutdown must not wait with it.
    const controlPlane = await Promise.race([starting, shutdown.requested.then(() => undefined)]);
    log.info("shutting down", { cause: await shutdown.requested });
    await controlPlane?.stop();
    await exit(0);
  } catch (error) {
    log.error("cannot start", { error: error as Error });
    await exit(EXIT_UNAVAILABLE);
  }
}
