// Strips the types of every source and removes the entries of sources that are gone. A process of its own, because the
// stripper stays in the memory of whoever used it. Several at the same time write the same entries, each whole.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { basename, join } from "node:path";
import { entries, entryOf, sources } from "./cache.mjs";

mkdirSync(entries, { recursive: true });
const present = new Set(readdirSync(entries));
const wanted = new Set();

for (const file of typeScriptBelow(sources)) {
  const text = readFileSync(file, "utf8");
  const entry = entryOf(text);
  wanted.add(basename(entry));
  if (!present.has(basename(entry))) write(entry, text);
}
for (const name of present) if (name.endsWith(".js") && !wanted.has(name)) rmSync(join(entries, name), { force: true });

function* typeScriptBelow(folder) {
  for (const found of readdirSync(folder, { withFileTypes: true })) {
    if (found.isDirectory()) {
      if (found.name !== "node_modules" && found.name !== "dist") yield* typeScriptBelow(join(folder, found.name));
    } else if (found.name.endsWith(".ts") && !/\.(d|test)\.ts$/.test(found.name)) yield join(folder, found.name);
  }
}

/** A source with a mistake has no entry: whoever loads it gets Node's own message. */
function write(entry, text) {
  let stripped;
  try {
    stripped = stripTypeScriptTypes(text);
  } catch {
    return;
  }
  const partial = `${entry}.${process.pid}`;
  writeFileSync(partial, stripped);
  renameSync(partial, entry);
}
