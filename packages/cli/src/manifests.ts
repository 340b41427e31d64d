import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { ErrorCode, MeshError } from "@ambit/shared/errors";

const MANIFEST = /\.(ya?ml|json)$/;

/** The manifests a `-f` names: a file, every manifest below a folder, or `-` for standard input. */
export async function readManifests(paths: readonly string[]): Promise<{ name: string; text: string }[]> {
  const files: { name: string; text: string }[] = [];
  for (const path of paths) {
    if (path === "-") files.push({ name: "stdin", text: await readStdin() });
    else for (const name of await manifestPaths(path)) files.push({ name, text: await readFile(name, "utf8") });
  }
  return files;
}

async function manifestPaths(path: string): Promise<string[]> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new MeshError(ErrorCode.CONFIG_INVALID, `-f: expected a file or folder, "${path}" cannot be read`, { cause });
  });
  if (!info.isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile() && MANIFEST.test(entry.name));
  return names.map((entry) => join(entry.parentPath, entry.name)).sort();
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
