import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { PodPlace, Sandbox } from "./machine.ts";
import { childOf } from "./process-tree.ts";

export interface SandboxInit {
  readonly pod: PodPlace;
  readonly netnsPath: string;
  readonly files: { readonly resolvConf: string; readonly hosts: string };
  /** Takes the network away once every process is gone. */
  readonly release: () => Promise<void>;
}

const START_TIMEOUT_MS = 10_000;

/**
 * The pod's first process. It is PID 1 of the pod: it reaps orphans, and when it is killed the kernel kills everything in
 * the pod. Before the new /proc is mounted, /proc/self still shows its number as the lab sees it.
 */
const INIT_SCRIPT = `set -e
read -r pid rest </proc/self/stat
dir=$(mktemp -d)
mount -t tmpfs -o mode=755 pod "$dir"
printf '%s' "$RESOLV_CONF" >"$dir/resolv.conf"
printf '%s' "$HOSTS" >"$dir/hosts"
mount --bind "$dir/resolv.conf" /etc/resolv.conf
mount --bind "$dir/hosts" /etc/hosts
umount -l "$dir"
rmdir "$dir"
if mount -t sysfs sysfs /sys 2>/dev/null; then :; fi
mount -t proc proc /proc
hostname "$POD_HOSTNAME"
unset RESOLV_CONF HOSTS
echo "$pid"
exec >/dev/null 2>&1
set +e
while :; do sleep 2147483647 & wait $!; done
`;

/** Starts the pod's own mount, host name and pid namespaces inside its network namespace. Throws MeshError LAB_COMMAND_FAILED. */
export async function makeSandbox(init: SandboxInit): Promise<Sandbox> {
  const argv = [
    "nsenter",
    `--net=${init.netnsPath}`,
    "--",
    "unshare",
    "--mount",
    "--uts",
    "--pid",
    "--fork",
    "--kill-child",
  ];
  const env = {
    PATH: process.env["PATH"],
    RESOLV_CONF: init.files.resolvConf,
    HOSTS: init.files.hosts,
    POD_HOSTNAME: init.pod.hostname,
  };
  const holder = spawn(argv[0] as string, [...argv.slice(1), "sh", "-c", INIT_SCRIPT], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let complaint = "";
  holder.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-600);
  });
  const gone = new Promise<void>((resolve) => holder.once("close", () => resolve()));
  holder.on("error", (error) => {
    complaint = error.message;
  });
  const initPid = await firstLine(holder.stdout, gone);
  if (initPid === undefined) {
    holder.kill("SIGKILL");
    throw new MeshError(
      ErrorCode.LAB_COMMAND_FAILED,
      `the sandbox of ${init.pod.namespace}/${init.pod.name} did not start: ${complaint}`,
    );
  }
  const target = ["nsenter", "--target", String(initPid), "--mount", "--uts", "--pid", `--net`, "--"];
  return {
    prefix: target,
    // Whoever runs it may be killed; the command must not outlive it.
    execPrefix: ["setpriv", "--pdeathsig", "KILL", ...target, "setpriv", "--pdeathsig", "KILL"],
    env: () => ({}),
    mainProcessOf: childOf,
    async destroy() {
      // The holder first: its death takes PID 1 of the pod along, and that one everything else.
      holder.kill("SIGKILL");
      killQuietly(initPid);
      await gone;
      await init.release();
    },
  };
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Already gone.
  }
}

async function firstLine(stream: NodeJS.ReadableStream, gone: Promise<void>): Promise<number | undefined> {
  const lines = createInterface({ input: stream });
  const timer = AbortSignal.timeout(START_TIMEOUT_MS);
  const line = once(lines, "line", { signal: timer }).then(
    ([text]) => Number(text),
    () => undefined,
  );
  const pid = await Promise.race([line, gone.then(() => undefined)]);
  lines.close();
  return pid !== undefined && Number.isInteger(pid) && pid > 1 ? pid : undefined;
}
