import type { Dirent, Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { isObjectPath, PATCH_FOLDER, parsePatchPath } from "./patch-path.ts";

const MAX_FILES = 300_000;
const MAX_LEVELS = 16;

export interface FolderListing {
  /** Files of interest, relative to the folder, each with a text that changes when the file does. */
  readonly files: ReadonlyMap<string, string>;
  /** Every folder in which such a file may appear, relative; `""` is the folder itself. */
  readonly folders: readonly string[];
}

/**
 * Lists what is below `start` (relative to `root`): object files and patches. Hidden names other than `.patches` are
 * left out, as are links to folders, which may form a ring. A folder that vanishes meanwhile counts as empty.
 *
 * @throws the file system's error when `root` itself cannot be listed
 */
export async function scanFolder(root: string, start = ""): Promise<FolderListing> {
  const files = new Map<string, string>();
  const folders: string[] = [];
  const queue = [start];
  for (let folder = queue.pop(); folder !== undefined; folder = queue.pop()) {
    folders.push(folder);
    for (const entry of await entriesOf(root, folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && isWatchedFolder(path)) queue.push(path);
      if (entry.isDirectory() || !isOfInterest(path) || files.size >= MAX_FILES) continue;
      const signature = await signatureOf(join(root, path));
      if (signature !== undefined) files.set(path, signature);
    }
  }
  return { files, folders };
}

async function entriesOf(root: string, folder: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(join(root, folder), { withFileTypes: true });
  } catch (error) {
    if (folder === "") throw error;
    return [];
  }
}

/** Whether the path, relative to the folder, is an object file or a patch. */
export const isOfInterest = (path: string): boolean => isObjectPath(path) || parsePatchPath(path) !== undefined;

function isWatchedFolder(path: string): boolean {
  const parts = path.split("/");
  if (parts.length > MAX_LEVELS) return false;
  return parts[0] === PATCH_FOLDER ? parts.length <= 4 : !parts.some((part) => part.startsWith("."));
}

/** Changes whenever the file is written or replaced. */
export const signatureFrom = (facts: Stats): string => `${facts.ino} ${facts.size} ${facts.mtimeMs}`;

/** Undefined when there is no such file. */
export async function signatureOf(path: string): Promise<string | undefined> {
  const facts = await stat(path).catch(() => undefined);
  return facts?.isFile() ? signatureFrom(facts) : undefined;
}
