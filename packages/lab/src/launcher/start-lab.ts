import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { programPath } from "@ambit/shared/lab-client";
import { type LabSettings, SETTINGS_FILE } from "../daemon/settings.ts";
import type { LabMode } from "../network/machine.ts";
import { markProcess } from "../network/process-tree.ts";
import { readLogTail } from "../supervise/log-file.ts";
import type { UpArguments } from "./arguments.ts";
import { type ChosenMode, chooseMode, unshareArgv } from "./modes.ts";
import { INIT_PID_FILE, isLabAlive, readRecordedLab, recordLab } from "./recorded-lab.ts";
import { removeLab } from "./stop-lab.ts";

export interface StartedLab {
  readonly ok: true;
  readonly socket: string;
  readonly pid: number;
  readonly mode: LabMode;
}

const START_TIMEOUT_MS = 30_000;

/**
 * PID 1 of the lab. It notes its number while /proc is still the host's, then runs the daemon and waits: orphans are reaped
 * by the shell, and when the daemon ends for whatever reason, so does everything in these namespaces.
 */
const INIT_SCRIPT = `set -e
read -r pid rest </proc/self/stat
echo "$pid" >"$STATE/${INIT_PID_FILE}"
mount -t proc proc /proc
mount -t sysfs sysfs /sys 2>/dev/null || true
mkdir -p "$STATE/netns"
mount -t tmpfs -o mode=755 lab "$STATE/netns"
set +e
"$@" &
wait $!
`;

/**
 * Starts the daemon in its namespaces and waits until it answers. A lab of the same name that died is cleared away first.
 *
 * @throws MeshError LAB_ALREADY_RUNNING, CONFIG_INVALID, LAB_COMMAND_FAILED
 */
export async function startLab(up: UpArguments): Promise<StartedLab> {
  const { name, stateDir } = up;
  if (isLabAlive(readRecordedLab(stateDir)))
    throw new MeshError(
      ErrorCode.LAB_ALREADY_RUNNING,
      `a lab named "${name}" is running; stop it with: ambit down --name ${name}`,
    );
  const missing = up.objects.find((path) => !existsSync(path));
  if (missing !== undefined)
    throw new MeshError(
      ErrorCode.CONFIG_INVALID,
      `expected a file or folder of manifests, "${missing}" does not exist`,
    );
  const chosen = chooseMode(process.env, process.getuid?.() ?? -1);
  await removeLab(stateDir);
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  writeSettings(up, chosen);
  const { mode } = chosen;
  const child = spawnDaemon(up, mode);
  const holder = markProcess(child.pid ?? -1);
  if (!holder) throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, `the lab ended at once: ${logEnd(stateDir)}`);
  recordLab(stateDir, { name, mode, holder });
  await untilReady(child, stateDir);
  return { ok: true, socket: join(stateDir, "lab.sock"), pid: holder.pid, mode };
}

function writeSettings(up: UpArguments, { mode, because }: ChosenMode): void {
  const { foreground: _foreground, ...rest } = up;
  const settings: LabSettings = { ...rest, mode, ...(because === undefined ? {} : { modeReason: because }) };
  writeFileSync(join(up.stateDir, SETTINGS_FILE), `${JSON.stringify(settings)}\n`, { mode: 0o600 });
}

function spawnDaemon(up: UpArguments, mode: LabMode): ChildProcess {
  const main = programPath("packages/lab/src/main.ts");
  const daemon = [process.execPath, ...process.execArgv, main, "daemon", join(up.stateDir, SETTINGS_FILE)];
  const argv = mode === "loopback" ? daemon : [...unshareArgv(mode), "sh", "-c", INIT_SCRIPT, "lab-init", ...daemon];
  const log = openSync(join(up.stateDir, "lab.log"), "a", 0o600);
  const child = spawn(argv[0] as string, argv.slice(1), {
    cwd: "/",
    detached: !up.foreground,
    stdio: ["ignore", log, log, "pipe"],
    env: { ...process.env, STATE: up.stateDir },
  });
  closeSync(log);
  child.on("error", () => {});
  return child;
}

/** One line on descriptor 3, or its end when the daemon died before it could say anything. */
async function untilReady(child: ChildProcess, stateDir: string): Promise<void> {
  const stream = child.stdio[3] as Readable;
  const timer = setTimeout(
    () => stream.destroy(new Error(`no answer within ${START_TIMEOUT_MS} ms`)),
    START_TIMEOUT_MS,
  );
  let text = "";
  try {
    // Not to its end: the shell and unshare hold the same pipe open for as long as the lab lives.
    for await (const chunk of stream) {
      text += String(chunk);
      if (text.includes("\n")) break;
    }
  } catch (cause) {
    text = JSON.stringify({ ok: false, message: String(cause) });
  } finally {
    clearTimeout(timer);
  }
  const answer = parseAnswer(text);
  if (answer.ok) return;
  await removeLab(stateDir, { keepLog: true });
  const code = answer.code === ErrorCode.CONFIG_INVALID ? ErrorCode.CONFIG_INVALID : ErrorCode.LAB_COMMAND_FAILED;
  throw new MeshError(code, `the lab did not start: ${answer.message ?? logEnd(stateDir)}`);
}

function parseAnswer(text: string): { readonly ok: boolean; readonly code?: string; readonly message?: string } {
  try {
    return JSON.parse(text) as { ok: boolean };
  } catch {
    return { ok: false };
  }
}

const logEnd = (stateDir: string): string => readLogTail(join(stateDir, "lab.log"), 12).toString("utf8").trim();
