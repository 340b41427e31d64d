import { type FSWatcher, watch } from "node:fs";
import { join } from "node:path";

/** inotify watches are a shared resource; folders beyond this are still followed by the periodic scan. */
const MAX_WATCHES = 16_384;

/**
 * One inotify watch a folder. Node's own recursive watch opens one for every file, which 10 000 pods cannot afford.
 * Watching is only a way to be quick: every failure here just leaves that folder to the periodic scan.
 */
export class FolderWatches {
  readonly #root: string;
  readonly #onEvent: (path: string) => void;
  readonly #watchers = new Map<string, FSWatcher>();

  /** @param onEvent  gets the path, relative to the root, of what appeared, changed or vanished */
  constructor(root: string, onEvent: (path: string) => void) {
    this.#root = root;
    this.#onEvent = onEvent;
  }

  add(folder: string): void {
    if (this.#watchers.has(folder) || this.#watchers.size >= MAX_WATCHES) return;
    try {
      const watcher = watch(join(this.#root, folder), { persistent: false }, (_event, name) => {
        if (name !== null) this.#onEvent(folder === "" ? name : join(folder, name));
      });
      watcher.on("error", () => this.#drop(folder));
      this.#watchers.set(folder, watcher);
    } catch {
      // No watches left, or the folder is gone: the periodic scan sees to it.
    }
  }

  /** A folder that appeared: an old watch of that name would belong to a folder that is gone. */
  renew(folder: string): void {
    this.#drop(folder);
    this.add(folder);
  }

  /** Watches exactly these folders. */
  sync(folders: readonly string[]): void {
    const wanted = new Set(folders);
    for (const folder of [...this.#watchers.keys()]) if (!wanted.has(folder)) this.#drop(folder);
    for (const folder of folders) this.add(folder);
  }

  close(): void {
    for (const folder of [...this.#watchers.keys()]) this.#drop(folder);
  }

  #drop(folder: string): void {
    this.#watchers.get(folder)?.close();
    this.#watchers.delete(folder);
  }
}
