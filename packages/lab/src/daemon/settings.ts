import { readFileSync } from "node:fs";
import type { LabMode } from "../network/machine.ts";

/** What the launcher tells the daemon, through a file in the state folder. */
export interface LabSettings {
  readonly name: string;
  readonly mode: LabMode;
  /** Why the lab has to do without namespaces. */
  readonly modeReason?: string;
  readonly stateDir: string;
  /** Absolute paths of manifests: files or folders. */
  readonly objects: readonly string[];
  /** False = no control plane and no ztunnels: only nodes, pods, services and names. */
  readonly mesh: boolean;
  readonly ztunnelEnv: Readonly<Record<string, string>>;
  readonly controlPlaneEnv: Readonly<Record<string, string>>;
  readonly waypointEnv: Readonly<Record<string, string>>;
}

export const CLUSTER_DOMAIN = "cluster.local";

export const SETTINGS_FILE = "settings.json";

export const readSettings = (file: string): LabSettings => JSON.parse(readFileSync(file, "utf8")) as LabSettings;
