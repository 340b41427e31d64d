import { randomUUID } from "node:crypto";
import { mkdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { err, ok, type Result } from "../../errors/index.ts";
import { isRecord } from "../checks/field-checks.ts";

const MAX_PATCH_CHARS = 1024 * 1024;
const WRITE_ATTEMPTS = 3;

/** Replaces a patch file so that no reader ever sees half of it. */
export async function writePatchFile(path: string, patch: Readonly<Record<string, unknown>>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
  const text = `${JSON.stringify(patch, null, 2)}\n`;
  for (let attempt = 1; ; attempt++) {
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(temporary, text);
      await rename(temporary, path);
      return;
    } catch (error) {
      // Another process that took its own last patch away may have removed the folder in between.
      if (attempt === WRITE_ATTEMPTS || (error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
}

/** Removes a patch file, and its folder when that was the last one. */
export async function removePatchFile(path: string): Promise<void> {
  await rm(path, { force: true });
  await rmdir(dirname(path)).catch(() => {});
}

export function parsePatch(text: string): Result<Readonly<Record<string, unknown>>> {
  if (text.length > MAX_PATCH_CHARS) return err(`expected a patch of at most ${MAX_PATCH_CHARS} characters`);
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? ok(value) : err("expected a JSON object");
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}
