import { isDeepStrictEqual } from "node:util";
import { ErrorCode } from "../../errors/index.ts";
import { formatFieldPath, isRecord } from "../checks/field-checks.ts";
import { mergePatch, withoutIdentity } from "../merge-patch.ts";
import { type InputProblem, type KubeObject, type ObjectChange, type ObjectKey, objectKey } from "../model.ts";
import { type ParsedFile, type ParsedObject, problemsOfObject } from "../parse-file.ts";
import { patchPathOf } from "./patch-path.ts";

type Fields = Readonly<Record<string, unknown>>;

const MAX_OBJECTS = 200_000;
const MAX_PROBLEMS = 1_000;

interface FileContent {
  readonly objects: ReadonlyMap<ObjectKey, ParsedObject>;
  readonly problems: readonly InputProblem[];
}

/**
 * What a folder means: files and patches in, effective objects and problems out. Synchronous, no I/O.
 *
 * An object is what the first file (in name order) that holds it says, with the patches of all owners over it in name
 * order. A file or object that turned bad keeps meaning what it last meant, as if an API server had refused the edit.
 */
export class FolderState {
  readonly #files = new Map<string, FileContent>();
  readonly #claims = new Map<ObjectKey, Set<string>>();
  readonly #contested = new Set<ObjectKey>();
  readonly #patches = new Map<ObjectKey, Map<string, Fields>>();
  readonly #patchProblems = new Map<string, InputProblem>();
  readonly #effective = new Map<ObjectKey, KubeObject>();
  readonly #dirty = new Set<ObjectKey>();
  #sourceProblems: readonly InputProblem[] = [];
  #problems: readonly InputProblem[] | undefined;

  /** The effective object, patches included. */
  get(key: ObjectKey): KubeObject | undefined {
    return this.#effective.get(key);
  }

  setFile(file: string, parsed: ParsedFile): void {
    const before = this.#files.get(file);
    const after = contentOf(file, parsed, before, this.#claims.size);
    this.#files.set(file, after);
    this.#replaceClaims(file, before?.objects, after.objects);
  }

  removeFile(file: string): void {
    const before = this.#files.get(file);
    this.#files.delete(file);
    this.#replaceClaims(file, before?.objects, new Map());
  }

  /** How many objects the file holds as it was last read. */
  sizeOf(file: string): number {
    return this.#files.get(file)?.objects.size ?? 0;
  }

  /** `undefined` takes the owner's patch away. */
  setPatch(key: ObjectKey, owner: string, patch: Fields | undefined): void {
    const patches = this.#patches.get(key) ?? new Map<string, Fields>();
    if (patch) patches.set(owner, patch);
    else patches.delete(owner);
    if (patches.size > 0) this.#patches.set(key, patches);
    else this.#patches.delete(key);
    this.#setPatchProblem(patchPathOf(key, owner), undefined);
    this.#dirty.add(key);
  }

  /** A patch file that cannot be read keeps its last content. */
  rejectPatch(file: string, reason: string): void {
    this.#setPatchProblem(file, reason);
  }

  patchOf(key: ObjectKey, owner: string): Fields | undefined {
    return this.#patches.get(key)?.get(owner);
  }

  /** Problems of the folder itself, not of a file's content. */
  setSourceProblems(problems: readonly InputProblem[]): void {
    if (isDeepStrictEqual(problems, this.#sourceProblems)) return;
    this.#sourceProblems = problems;
    this.#problems = undefined;
  }

  /** What changed since the last call; undefined when nothing did. */
  drain(): ObjectChange | undefined {
    const upserted: KubeObject[] = [];
    const removed: ObjectKey[] = [];
    for (const key of this.#dirty) {
      const before = this.#effective.get(key);
      const after = this.#effectiveObject(key);
      if (after && !isDeepStrictEqual(before, after)) {
        this.#effective.set(key, after);
        upserted.push(after);
      } else if (!after && before) {
        this.#effective.delete(key);
        removed.push(key);
      }
    }
    this.#dirty.clear();
    if (upserted.length === 0 && removed.length === 0 && this.#problems) return undefined;
    this.#problems ??= this.#collectProblems();
    return { upserted, removed, problems: this.#problems };
  }

  #replaceClaims(file: string, before: FileContent["objects"] | undefined, after: FileContent["objects"]): void {
    this.#problems = undefined;
    for (const key of new Set([...(before?.keys() ?? []), ...after.keys()])) {
      const claims = this.#claims.get(key) ?? new Set<string>();
      if (after.has(key)) claims.add(file);
      else claims.delete(file);
      if (claims.size > 0) this.#claims.set(key, claims);
      else this.#claims.delete(key);
      if (claims.size > 1) this.#contested.add(key);
      else this.#contested.delete(key);
      this.#dirty.add(key);
    }
  }

  #claimants(key: ObjectKey): readonly string[] {
    return [...(this.#claims.get(key) ?? [])].sort();
  }

  #effectiveObject(key: ObjectKey): KubeObject | undefined {
    const file = this.#claimants(key)[0];
    const parsed = file === undefined ? undefined : this.#files.get(file)?.objects.get(key);
    if (!parsed) return undefined;
    let { object } = parsed;
    const patches = [...(this.#patches.get(key) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [owner, patch] of patches) {
      if (isForAnotherObject(patch, object)) continue;
      const patched = mergePatch(object, withoutIdentity(patch)) as KubeObject;
      const problem = parsed.valid ? problemsOfObject(patched).find(({ advisory }) => !advisory) : undefined;
      const reason = problem && `the patch is ignored: ${formatFieldPath(problem.path)}: ${problem.reason}`;
      this.#setPatchProblem(patchPathOf(key, owner), reason);
      if (!problem) object = patched;
    }
    return object;
  }

  #setPatchProblem(file: string, reason: string | undefined): void {
    if (this.#patchProblems.get(file)?.reason === reason) return;
    this.#problems = undefined;
    if (reason === undefined) this.#patchProblems.delete(file);
    else this.#patchProblems.set(file, { code: ErrorCode.KUBE_OBJECT_INVALID, file, line: 0, field: "", reason });
  }

  #collectProblems(): readonly InputProblem[] {
    const duplicates = [...this.#contested].flatMap((key) => {
      const [first = "", ...others] = this.#claimants(key);
      return others.map((file) => duplicate(file, this.#files.get(file)?.objects.get(key)?.line ?? 0, key, first));
    });
    const ofFiles = [...this.#files.values()].flatMap(({ problems }) => problems);
    const every = [...this.#sourceProblems, ...ofFiles, ...duplicates, ...this.#patchProblems.values()];
    return every
      .sort((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1))
      .slice(0, MAX_PROBLEMS);
  }
}

/**
 * A patch may say which object it was made for, by uid. A pod that was deleted and made again under its name must not
 * inherit the addresses and the `enabled` of the one before.
 */
function isForAnotherObject(patch: Fields, object: KubeObject): boolean {
  const uid = isRecord(patch["metadata"]) ? patch["metadata"]["uid"] : undefined;
  return uid !== undefined && object.metadata.uid !== undefined && uid !== object.metadata.uid;
}

const duplicate = (file: string, line: number, key: ObjectKey, first: string): InputProblem => ({
  code: ErrorCode.KUBE_OBJECT_INVALID,
  file,
  line,
  field: "metadata.name",
  reason: `${key} is also in ${first}, which counts; this one is ignored`,
});

function contentOf(
  file: string,
  parsed: ParsedFile,
  before: FileContent | undefined,
  objectsSoFar: number,
): FileContent {
  // Half a file may be a file somebody is still writing: nothing of it is believed, nothing of the old one lost.
  if (parsed.malformed && before && before.objects.size > 0) {
    return { objects: before.objects, problems: parsed.problems };
  }
  const objects = new Map<ObjectKey, ParsedObject>();
  const problems = [...parsed.problems];
  for (const each of parsed.objects) {
    const key = objectKey(each.object);
    const old = before?.objects.get(key);
    const room = old !== undefined || objectsSoFar + objects.size < MAX_OBJECTS;
    if (objects.has(key)) problems.push(duplicate(file, each.line, key, "the same file"));
    else if (!room) problems.push(tooMany(file, each.line));
    else if (each.valid) objects.set(key, each);
    else if (old?.valid) objects.set(key, old);
    else if (each.whenInvalid === "pass-on") objects.set(key, each);
  }
  return { objects, problems };
}

const tooMany = (file: string, line: number): InputProblem => ({
  code: ErrorCode.KUBE_OBJECT_UNSUPPORTED,
  file,
  line,
  field: "",
  reason: `expected at most ${MAX_OBJECTS} objects; this one is ignored`,
});
