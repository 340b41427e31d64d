import { type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Logger } from "../log/index.ts";
import type { Clock } from "../time/index.ts";
import { parseCrls, type RevokedSerials } from "../x509/index.ts";

const DEBOUNCE_MS = 2_000;
/** Read again even without a notification: some mounts send none. */
const POLL_MS = 30_000;

export interface CrlWatchInit {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onRevocations: (revoked: RevokedSerials) => void;
  readonly debounceMs?: number;
}

export interface CrlWatch {
  /** True once the file was read, or is absent: nothing is revoked then. False = present and unreadable so far. */
  readonly first: Promise<boolean>;
  stop(): void;
}

/**
 * Follows the file of revoked certificates. A file that goes away or turns bad keeps the last good revocations in
 * force: an operator's slip must not let a revoked peer back in.
 *
 * Differs: ztunnel turns CRL checking off when the first file is invalid; here the process stays unready.
 */
export function watchCrl(init: CrlWatchInit): CrlWatch {
  const { path, clock, log, onRevocations, debounceMs = DEBOUNCE_MS } = init;
  let last: string | undefined;
  let stopped = false;
  let cancel: () => void = () => {};

  async function load(): Promise<boolean> {
    cancel();
    cancel = clock.after(POLL_MS, () => void load());
    let bytes: Buffer;
    try {
      bytes = await readFile(path);
    } catch (error) {
      log.warn("cannot read the certificate revocation list, the last one stays in force", {
        path,
        error: error as Error,
      });
      return (error as NodeJS.ErrnoException).code === "ENOENT";
    }
    const text = bytes.toString("latin1");
    if (text === last || stopped) return true;
    const parsed = parseCrls(bytes);
    if (!parsed.ok) {
      log.error("the certificate revocation list is invalid, the last one stays in force", {
        path,
        reason: parsed.error,
      });
      return false;
    }
    last = text;
    log.info("certificate revocation list loaded", { path, issuers: Object.keys(parsed.value).length });
    onRevocations(parsed.value);
    return true;
  }

  const watcher = watchFolder(dirname(path), log, () => {
    cancel();
    cancel = clock.after(debounceMs, () => void load());
  });
  return {
    first: load(),
    stop() {
      stopped = true;
      cancel();
      watcher?.close();
    },
  };
}

/** The folder, because a mounted ConfigMap or Secret is swapped by renaming a link. */
function watchFolder(folder: string, log: Logger, onEvent: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, onEvent);
    watcher.on("error", (error) => log.warn("stopped following a folder, polling it instead", { folder, error }));
    return watcher;
  } catch (error) {
    log.warn("cannot follow a folder, polling it instead", { folder, error: error as Error });
    return undefined;
  }
}
