// For `node --import`: loads our TypeScript with its types already stripped, so that Node's stripper (a WebAssembly module
// for each thread) is not loaded. Where there is no entry and none can be made, Node strips as it always does.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { entryOf, sourcesUrl } from "./cache.mjs";

const FILL_TIMEOUT_MS = 30_000;
let filled = false;

registerHooks({
  load(url, context, next) {
    if (!url.startsWith(sourcesUrl) || !url.endsWith(".ts")) return next(url, context);
    const source = stripped(readFileSync(fileURLToPath(url), "utf8"));
    return source === undefined ? next(url, context) : { format: "module", source, shortCircuit: true };
  },
});

function stripped(text) {
  const entry = entryOf(text);
  const found = read(entry);
  if (found !== undefined || filled) return found;
  filled = true;
  const filler = fileURLToPath(new URL("fill.mjs", import.meta.url));
  spawnSync(process.execPath, [filler], { stdio: "ignore", env: {}, timeout: FILL_TIMEOUT_MS });
  return read(entry);
}

function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
