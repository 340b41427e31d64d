import { spawnSync } from "node:child_process";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { LabMode } from "../network/machine.ts";

const UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"] as const;

/** How the lab's own namespaces are made. */
export function unshareArgv(mode: Exclude<LabMode, "loopback">): readonly string[] {
  const [program, ...flags] = UNSHARE;
  return mode === "userns" ? [program, "--user", "--map-root-user", ...flags] : [...UNSHARE];
}

/** Everything a lab with namespaces does, once and quickly: if this works, the rest does. */
const TRIAL = "mount -t tmpfs none /mnt && ip link add trial type veth && nft list ruleset && mount -t proc proc /proc";

export interface ChosenMode {
  readonly mode: LabMode;
  /** What the machine said to namespaces, when the mode is loopback for that reason. */
  readonly because?: string;
}

/**
 * The best mode this machine allows: root's namespaces, a user namespace, or loopback addresses. `AMBIT_LAB_MODE` forces
 * one. Throws MeshError CONFIG_INVALID when the forced one is unknown or not possible.
 */
export function chooseMode(env: NodeJS.ProcessEnv, uid: number): ChosenMode {
  const forced = env["AMBIT_LAB_MODE"];
  if (!forced) return bestMode(uid);
  if (forced !== "netns" && forced !== "userns" && forced !== "loopback") {
    const message = `AMBIT_LAB_MODE: expected netns, userns or loopback, got "${forced}"`;
    throw new MeshError(ErrorCode.CONFIG_INVALID, message);
  }
  const complaint = forced === "loopback" ? undefined : complaintAbout(forced);
  if (complaint === undefined) return { mode: forced };
  throw new MeshError(ErrorCode.CONFIG_INVALID, `AMBIT_LAB_MODE=${forced} is not possible here: ${complaint}`);
}

function bestMode(uid: number): ChosenMode {
  const rootComplaint = uid === 0 ? complaintAbout("netns") : undefined;
  if (uid === 0 && rootComplaint === undefined) return { mode: "netns" };
  const complaint = complaintAbout("userns");
  return complaint === undefined ? { mode: "userns" } : { mode: "loopback", because: rootComplaint ?? complaint };
}

function complaintAbout(mode: Exclude<LabMode, "loopback">): string | undefined {
  const [program = "", ...args] = unshareArgv(mode);
  const trial = spawnSync(program, [...args, "sh", "-c", TRIAL], { encoding: "utf8", timeout: 5_000 });
  if (trial.status === 0) return undefined;
  return (trial.stderr || trial.error?.message || `status ${trial.status}`).trim().slice(0, 300);
}
