// Where sources without their types are kept. An entry is named after the hash of the source it was made of, so it is
// never stale; another Node, whose stripper may differ, has a folder of its own.
import { hash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The folder whose TypeScript is kept stripped. */
export const sources = fileURLToPath(new URL("../../packages/", import.meta.url));

/** Start of the URLs of those sources. */
export const sourcesUrl = pathToFileURL(sources).href;

/** Folder of the entries of this Node. */
export const entries = fileURLToPath(new URL(`../../.ambit/stripped/${process.version}/`, import.meta.url));

/** Path of the entry of a source text. */
export const entryOf = (text) => join(entries, `${hash("sha256", text)}.js`);
