/** `up` and `down` for the CLI (one line of JSON on standard output), and the daemon that `up` starts. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { parseUpArguments } from "./launcher/arguments.ts";
import { startLab } from "./launcher/start-lab.ts";
import { removeLab } from "./launcher/stop-lab.ts";

async function run([verb, ...args]: readonly string[]): Promise<void> {
  const uid = process.getuid?.() ?? -1;
  switch (verb) {
    case "daemon": {
      // Loaded only here: `up` and `down` are waited for, and need none of it.
      const { runDaemon } = await import("./daemon/run-daemon.ts");
      await runDaemon(args[0] ?? "");
      return process.exit();
    }
    case "up":
      say(await startLab(parseUpArguments(args, uid)));
      return process.exit();
    case "down":
      await removeLab(parseUpArguments(args, uid).stateDir);
      return say({ ok: true });
    default:
      throw new MeshError(ErrorCode.CONFIG_INVALID, `expected up or down, got "${verb ?? ""}"`);
  }
}

function say(answer: unknown): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

run(process.argv.slice(2)).catch((error: unknown) => {
  const { code, message } = MeshError.from(error, ErrorCode.LAB_COMMAND_FAILED);
  say({ ok: false, code, message });
  process.exitCode = 1;
});
