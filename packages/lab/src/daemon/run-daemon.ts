import { closeSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createShutdown } from "@ambit/shared/lifecycle";
import { createLogSystem } from "@ambit/shared/log";
import { linuxPlatform } from "@ambit/shared/platform";
import { serveApi } from "../api/serve-api.ts";
import { Lab } from "./lab.ts";
import { readSettings } from "./settings.ts";

/** The launcher waits here for one line of JSON: `{ok}`, or `{ok: false, code, message}`. */
const READY_FD = 3;

/** The lab's own process, inside its namespaces. Resolves when the lab was told to stop; the caller then exits. */
export async function runDaemon(settingsFile: string): Promise<void> {
  const settings = readSettings(settingsFile);
  const logs = createLogSystem({ format: "plain", levels: { fallback: "info", scopes: {} } });
  const log = logs.scope("lab");
  // A lab holds what people are looking at: it says what went wrong and goes on.
  process.on("uncaughtException", (error) =>
    log.error("an error nobody caught", { error: error.stack ?? error.message }),
  );
  process.on("unhandledRejection", (reason) => log.error("a rejection nobody caught", { error: String(reason) }));
  const shutdown = createShutdown(process, () => process.exit(1));
  linuxPlatform.raiseFileLimit();
  try {
    const lab = await Lab.start(settings, linuxPlatform, log);
    const api = await serveApi(join(settings.stateDir, "lab.sock"), lab, () => shutdown.request("the API"));
    tellLauncher({ ok: true });
    const cause = await shutdown.requested;
    log.info("the lab stops", { cause });
    await lab.stop();
    api.close();
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    log.error("the lab could not start", {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    tellLauncher({ ok: false, code: String(code ?? "LAB_COMMAND_FAILED"), message: String(message ?? error) });
    process.exitCode = 1;
  }
  await logs.flush(500);
}

function tellLauncher(answer: { readonly ok: boolean; readonly code?: string; readonly message?: string }): void {
  try {
    writeSync(READY_FD, `${JSON.stringify(answer)}\n`);
    closeSync(READY_FD);
  } catch {
    // The launcher has gone away; whoever looks will find the lab, or its log.
  }
}
