import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { InputFile } from "../store/object-actions.ts";

const MANIFEST = /\.(ya?ml|json)$/;

/** Every manifest of the given files and folders, in the order of their names. Rejects on what cannot be read. */
export async function readManifests(paths: readonly string[]): Promise<InputFile[]> {
  const files: InputFile[] = [];
  for (const path of paths) {
    for (const name of await manifestsBelow(path)) files.push({ name, text: await readFile(name, "utf8") });
  }
  return files;
}

async function manifestsBelow(path: string): Promise<readonly string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && MANIFEST.test(entry.name));
  return files.map((entry) => join(entry.parentPath, entry.name)).sort();
}
