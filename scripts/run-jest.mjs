// Runs Jest for the tiers named on the command line: `node scripts/run-jest.mjs unit integration -- --testNamePattern x`.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const split = process.argv.indexOf("--");
const tiers = process.argv.slice(2, split < 0 ? undefined : split);
const extra = split < 0 ? [] : process.argv.slice(split + 1);
const jest = join(dirname(createRequire(import.meta.url).resolve("jest/package.json")), "bin", "jest.js");
const inBand = tiers.some((tier) => tier !== "unit") ? ["--runInBand"] : [];
// As an argument too: labs start their programs with our arguments, and would else load what was built last, or nothing.
const source = "--conditions=@ambit/source";
const result = spawnSync(process.execPath, [source, jest, ...inBand, ...extra], {
  stdio: "inherit",
  env: {
    ...process.env,
    AMBIT_TEST_TIERS: tiers.join(",") || "unit",
    NODE_OPTIONS: `--experimental-vm-modules --disable-warning=ExperimentalWarning ${source}`,
  },
});
process.exit(result.status ?? 1);
