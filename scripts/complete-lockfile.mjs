// Adds to package-lock.json the optional platform packages that a registry mirror without them left out, so that `npm ci`
// accepts the lock file everywhere. Run it after changing a dependency: node scripts/complete-lockfile.mjs
import { readFileSync, writeFileSync } from "node:fs";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const nested = `${path}/node_modules/${name}`;
    const hoisted = `node_modules/${name}`;
    if (lock.packages[nested] || lock.packages[hoisted]) continue;
    // Neither resolved nor integrity is known here; npm looks them up where the platform matches.
    lock.packages[hoisted] = {
      version: version.replace(/^[^\d]*/, ""),
      dev: entry.dev,
      optional: true,
      os: [osOf(name)],
      cpu: [cpuOf(name)],
    };
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`${added} platform packages added\n`);

/** The npm `os` value in a package's name; a name without one is kept off every platform that could run it. */
function osOf(name) {
  const known = [
    "android",
    "darwin",
    "freebsd",
    "openbsd",
    "linux",
    "win32",
    "windows",
    "aix",
    "openharmony",
    "wasm32",
  ];
  const found = known.find((os) => name.includes(os)) ?? "none";
  return { windows: "win32", wasm32: "none" }[found] ?? found;
}

function cpuOf(name) {
  const known = ["arm64", "armv7", "arm", "ia32", "riscv64", "ppc64", "s390x", "loong64", "x64", "64"];
  const found = known.find((cpu) => name.includes(cpu)) ?? "none";
  return { armv7: "arm", 64: "x64" }[found] ?? found;
}
