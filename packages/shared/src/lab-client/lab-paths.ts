import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where a lab of this name keeps its state: `/run/ambit/NAME` for root, else below the user's runtime folder. */
export function labStateDir(name: string, env: NodeJS.ProcessEnv, uid: number): string {
  if (uid === 0) return join("/run/ambit", name);
  return join(env["XDG_RUNTIME_DIR"] || tmpdir(), `ambit-${uid}`, name);
}

/** The checkout this CLI runs from; programs of other packages are started by path, never imported. */
export const projectRoot = fileURLToPath(new URL("../../../../", import.meta.url));

export const programPath = (...parts: string[]): string => join(projectRoot, ...parts);
