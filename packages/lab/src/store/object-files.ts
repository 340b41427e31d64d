import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { KubeObject } from "@ambit/shared/kube";
import { type Fields, fieldsOf } from "../cluster/fields.ts";

/** The part of an object that says which one it is. */
export type Identified = Pick<KubeObject, "kind" | "metadata">;

/**
 * The object folder as other programs read it: one JSON file an object, and patches by owner below `.patches`. Every file
 * appears whole, by rename. Writes are synchronous, so that a caller who was answered finds them there.
 */
export class ObjectFiles {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
    mkdirSync(root, { recursive: true });
  }

  write(object: KubeObject): void {
    replaceFile(this.#objectPath(object), object);
  }

  /** The object and everybody's patches of it. */
  remove(object: Identified): void {
    rmSync(this.#objectPath(object), { force: true });
    rmSync(this.#patchFolder(object), { recursive: true, force: true });
  }

  writePatch(object: Identified, owner: string, patch: Fields): void {
    replaceFile(join(this.#patchFolder(object), `${owner}.json`), patch);
  }

  /** Patches of all owners but `own`, in the order in which they apply. */
  foreignPatches(object: Identified, own: string): readonly Fields[] {
    const folder = this.#patchFolder(object);
    let names: string[];
    try {
      names = readdirSync(folder);
    } catch {
      return [];
    }
    return names
      .filter((name) => name.endsWith(".json") && name !== `${own}.json`)
      .sort()
      .flatMap((name) => {
        const patch = readJson(join(folder, name));
        return patch === undefined ? [] : [patch];
      });
  }

  #objectPath(object: Identified): string {
    return join(this.#root, ...placeOf(object)).concat(".json");
  }

  #patchFolder(object: Identified): string {
    return join(this.#root, ".patches", ...placeOf(object));
  }
}

const placeOf = ({ kind, metadata }: Identified): readonly string[] => [kind, metadata.namespace ?? "_", metadata.name];

function replaceFile(path: string, value: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(value, undefined, 2)}\n`);
  renameSync(temporary, path);
}

function readJson(path: string): Fields | undefined {
  try {
    return fieldsOf(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    // Taken away, or half-written by a hand: as if it were not there.
    return undefined;
  }
}
