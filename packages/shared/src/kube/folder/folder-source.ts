import { access, lstat, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { ErrorCode, MeshError } from "../../errors/index.ts";
import type { Clock } from "../../time/index.ts";
import { isRecord } from "../checks/field-checks.ts";
import type { ObjectChange, ObjectKey, ObjectSource } from "../model.ts";
import { MAX_FILE_BYTES, type ParsedFile, parseKubeFile, tooLarge } from "../parse-file.ts";
import { FolderState } from "./folder-state.ts";
import { FolderWatches } from "./folder-watches.ts";
import { parsePatch, removePatchFile, writePatchFile } from "./patch-files.ts";
import { PATCH_FOLDER, parsePatchPath, patchPathOf } from "./patch-path.ts";
import { isOfInterest, scanFolder, signatureFrom, signatureOf } from "./scan-folder.ts";
import { MISSING_SETTLE_MS, SETTLE_MS, Settling, SHRUNK_SETTLE_MS } from "./settling.ts";

/** Events of one change (an editor makes several) are handled together. */
const QUIET_MS = 50;
const MAX_QUIET_MS = 250;
const SCAN_MS = 2_000;
/** A scan may take at most one part in so many of the time. */
const SCAN_SHARE = 50;
const READ_AT_ONCE = 32;

type Fields = Readonly<Record<string, unknown>>;

export interface FolderSourceInit {
  readonly clock: Clock;
  /** A failure nobody else can report: a consumer that threw, a scan that failed in an unforeseen way. */
  readonly onError?: (error: Error) => void;
}

/**
 * Kubernetes objects of a folder: every `*.yaml`, `*.yml` and `*.json` below it, hidden names left out, with the
 * patches of `.patches/` over them. Follows changes by inotify, and by a scan of sizes and times every 2 s in case an
 * event was missed; only changed files are read again.
 *
 * When the folder cannot be read at start, `start` reports that problem and waits; when it vanishes later, the last
 * objects stay. Nothing downstream must ever mistake a lost folder for an empty mesh.
 */
export function createFolderSource(dir: string, init: FolderSourceInit): ObjectSource {
  return new FolderSource(dir, init);
}

class FolderSource implements ObjectSource {
  readonly #root: string;
  readonly #clock: Clock;
  readonly #onError: (error: Error) => void;
  readonly #state = new FolderState();
  readonly #watches: FolderWatches;
  /** Signature of every file as it was last read. */
  readonly #known = new Map<string, string>();
  readonly #due = new Set<string>();
  readonly #settling: Settling;
  readonly #timers = new Set<() => void>();
  #quiet: { readonly sinceMs: number; cancel(): void } | undefined;
  /** Everything that touches the state runs in this chain, one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #onChange: (change: ObjectChange) => void = () => {};
  #stopped = false;

  constructor(dir: string, { clock, onError }: FolderSourceInit) {
    this.#root = dir;
    this.#clock = clock;
    this.#settling = new Settling(clock);
    this.#onError = onError ?? (() => {});
    this.#watches = new FolderWatches(dir, (path) => this.#changed(path));
  }

  async start(onChange: (change: ObjectChange) => void): Promise<void> {
    this.#onChange = onChange;
    while (!this.#stopped && !(await this.#scan(true)))
      await new Promise<void>((resolve) => this.#after(SCAN_MS, resolve));
    this.#scheduleScan(0);
  }

  patch(key: ObjectKey, owner: string, patch: Fields | undefined): Promise<void> {
    return this.#exclusively(async () => {
      const file = patchPathOf(key, owner);
      const wanted = patch && this.#bound(key, patch);
      if (isDeepStrictEqual(wanted, this.#state.patchOf(key, owner))) return;
      try {
        if (wanted) await writePatchFile(join(this.#root, file), wanted);
        else await removePatchFile(join(this.#root, file));
      } catch (error) {
        throw new MeshError(ErrorCode.KUBE_SOURCE_UNREADABLE, `cannot write ${file}`, { cause: error });
      }
      this.#state.setPatch(key, owner, wanted);
      await this.#remember(file);
      this.#deliver();
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#watches.close();
    this.#quiet?.cancel();
    for (const cancel of this.#timers) cancel();
    await this.#turn;
  }

  /** A patch dies with the object it was made for: see `FolderState`. */
  #bound(key: ObjectKey, patch: Fields): Fields {
    const uid = this.#state.get(key)?.metadata.uid;
    const metadata = isRecord(patch["metadata"]) ? patch["metadata"] : {};
    return uid === undefined ? patch : { ...patch, metadata: { ...metadata, uid } };
  }

  #exclusively(task: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(task);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** An event: look at the path once things are quiet. */
  #changed(path: string): void {
    if (this.#stopped || (basename(path).startsWith(".") && path !== PATCH_FOLDER)) return;
    this.#due.add(path);
    const now = this.#clock.monotonic();
    const sinceMs = this.#quiet?.sinceMs ?? now;
    this.#quiet?.cancel();
    const delayMs = Math.max(0, Math.min(QUIET_MS, sinceMs + MAX_QUIET_MS - now));
    this.#quiet = { sinceMs, cancel: this.#clock.after(delayMs, () => this.#flush()) };
  }

  #flush(): void {
    this.#quiet = undefined;
    const paths = [...this.#due];
    this.#due.clear();
    this.#exclusively(() => this.#lookAtAll(paths, false)).catch(this.#onError);
  }

  async #lookAtAll(paths: readonly string[], atStart: boolean): Promise<void> {
    for (let i = 0; i < paths.length && !this.#stopped; i += READ_AT_ONCE) {
      await Promise.all(paths.slice(i, i + READ_AT_ONCE).map((path) => this.#look(path, atStart)));
    }
    this.#deliver();
  }

  async #look(path: string, atStart: boolean): Promise<void> {
    const facts = await lstat(join(this.#root, path)).catch(() => undefined);
    if (facts?.isDirectory()) await this.#lookInside(path);
    else if (!isOfInterest(path)) return;
    else if (facts) await this.#lookAtFile(path, atStart);
    else if (this.#known.has(path)) await this.#lookForMissing(path);
  }

  async #lookInside(folder: string): Promise<void> {
    const listing = await scanFolder(this.#root, folder);
    for (const each of listing.folders) this.#watches.renew(each);
    for (const [path, signature] of listing.files)
      if (this.#known.get(path) !== signature) await this.#lookAtFile(path);
  }

  async #lookAtFile(path: string, atStart = false): Promise<void> {
    const absolute = join(this.#root, path);
    try {
      const facts = await stat(absolute);
      if (!facts.isFile()) return;
      const text = facts.size > MAX_FILE_BYTES ? undefined : await readFile(absolute, "utf8");
      const taken = parsePatchPath(path)
        ? this.#takePatch(path, text ?? "")
        : this.#takeObjects(path, text === undefined ? tooLarge(path, facts.size) : parseKubeFile(path, text), {
            mtimeMs: facts.mtimeMs,
            settleMs: atStart ? 0 : SETTLE_MS,
          });
      // Facts from before reading: a later change then always looks new.
      if (taken) this.#known.set(path, signatureFrom(facts));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") this.#state.setFile(path, unreadable(path, error));
    }
  }

  /** @returns false when the file is still being written and will be looked at again */
  #takeObjects(
    path: string,
    parsed: ParsedFile,
    age: { readonly mtimeMs: number; readonly settleMs: number },
  ): boolean {
    const shrunk = parsed.objects.length < this.#state.sizeOf(path);
    const waitMs = this.#settling.waitMs(path, age.mtimeMs, shrunk ? SHRUNK_SETTLE_MS : age.settleMs);
    if (waitMs > 0) {
      this.#lookAgain(path, waitMs);
      return false;
    }
    this.#settling.done(path);
    this.#state.setFile(path, parsed);
    return true;
  }

  #takePatch(path: string, text: string): boolean {
    const target = parsePatchPath(path);
    const parsed = parsePatch(text);
    if (target && parsed.ok) this.#state.setPatch(target.key, target.owner, parsed.value);
    else if (!parsed.ok) this.#state.rejectPatch(path, parsed.error);
    return true;
  }

  async #lookForMissing(path: string): Promise<void> {
    const patch = parsePatchPath(path);
    if (!patch && !this.#settling.isGone(path)) return this.#lookAgain(path, MISSING_SETTLE_MS);
    // A folder that is gone as a whole says nothing about its objects.
    if (!patch && !(await isReachable(this.#root))) return;
    this.#settling.done(path);
    this.#known.delete(path);
    if (patch) this.#state.setPatch(patch.key, patch.owner, undefined);
    else this.#state.removeFile(path);
  }

  #lookAgain(path: string, delayMs: number): void {
    this.#after(delayMs, () => {
      this.#due.add(path);
      this.#flush();
    });
  }

  /** @returns whether the folder could be listed */
  async #scan(atStart: boolean): Promise<boolean> {
    try {
      const listing = await scanFolder(this.#root);
      this.#watches.sync(listing.folders);
      const changed = [...listing.files].filter(([path, signature]) => this.#known.get(path) !== signature);
      const missing = [...this.#known.keys()].filter((path) => !listing.files.has(path));
      this.#state.setSourceProblems([]);
      await this.#exclusively(() => this.#lookAtAll([...changed.map(([path]) => path), ...missing], atStart));
      return true;
    } catch (error) {
      this.#watches.close();
      this.#state.setSourceProblems(unreadable(".", error).problems);
      await this.#exclusively(async () => this.#deliver());
      return false;
    }
  }

  #scheduleScan(lastTookMs: number): void {
    this.#after(Math.max(SCAN_MS, lastTookMs * SCAN_SHARE), () => {
      const startedAt = this.#clock.monotonic();
      this.#scan(false)
        .catch(this.#onError)
        .finally(() => this.#scheduleScan(this.#clock.monotonic() - startedAt));
    });
  }

  async #remember(path: string): Promise<void> {
    const signature = await signatureOf(join(this.#root, path));
    if (signature === undefined) this.#known.delete(path);
    else this.#known.set(path, signature);
  }

  #deliver(): void {
    const change = this.#stopped ? undefined : this.#state.drain();
    if (!change) return;
    try {
      this.#onChange(change);
    } catch (error) {
      this.#onError(MeshError.from(error, ErrorCode.INVARIANT_VIOLATED));
    }
  }

  #after(delayMs: number, task: () => void): void {
    if (this.#stopped) return;
    const cancel = this.#clock.after(delayMs, () => {
      this.#timers.delete(cancel);
      task();
    });
    this.#timers.add(cancel);
  }
}

const isReachable = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

function unreadable(file: string, error: unknown) {
  const reason = `cannot read: ${error instanceof Error ? error.message : String(error)}`;
  const problem = { code: ErrorCode.KUBE_SOURCE_UNREADABLE, file, line: 0, field: "", reason };
  return { objects: [], problems: [problem], malformed: true };
}
