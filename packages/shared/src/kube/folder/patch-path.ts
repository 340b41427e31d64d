import { join, sep } from "node:path";
import { ErrorCode, MeshError } from "../../errors/index.ts";
import type { ObjectKey } from "../model.ts";

export const PATCH_FOLDER = ".patches";

/** One segment of a patch file's path: nothing that could lead out of the folder. */
const SAFE = /^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,252}$/;

export interface PatchPath {
  readonly key: ObjectKey;
  readonly owner: string;
}

/** `.patches/KIND/NAMESPACE/NAME/OWNER.json`, namespace `_` for cluster-scoped. @throws MeshError KUBE_OBJECT_INVALID for names that are no file names */
export function patchPathOf(key: ObjectKey, owner: string): string {
  const parts = key.split("/");
  const [kind = "", namespace = "", name = ""] = parts;
  const segments = [kind, namespace === "" ? "_" : namespace, name, owner];
  if (parts.length !== 3 || !segments.every((segment) => SAFE.test(segment))) {
    throw new MeshError(ErrorCode.KUBE_OBJECT_INVALID, `cannot keep a patch of ${key} by ${owner}: unsafe file name`);
  }
  return join(PATCH_FOLDER, kind, segments[1] as string, name, `${owner}.json`);
}

/** The reverse, for a path relative to the folder; undefined when the file is no patch. */
export function parsePatchPath(path: string): PatchPath | undefined {
  const parts = path.split(sep);
  const [root, kind = "", namespace = "", name = "", file = ""] = parts;
  if (parts.length !== 5 || root !== PATCH_FOLDER || !file.endsWith(".json")) return undefined;
  const owner = file.slice(0, -".json".length);
  if (![kind, namespace, name, owner].every((segment) => SAFE.test(segment))) return undefined;
  return { key: `${kind}/${namespace === "_" ? "" : namespace}/${name}` as ObjectKey, owner };
}

/** Whether a path relative to the folder holds objects; hidden files and folders never do. */
export function isObjectPath(path: string): boolean {
  return /\.(ya?ml|json)$/.test(path) && !path.split(sep).some((part) => part.startsWith("."));
}
