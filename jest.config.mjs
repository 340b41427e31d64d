import { preset } from "./jest.preset.mjs";

/** Tiers, cheapest first. `scripts/run-jest.mjs TIER...` picks them; see docs/testing.md. */
const TIERS = {
  unit: { match: ["<rootDir>/packages/*/src/**/*.test.ts"], timeoutMs: 15_000 },
  integration: { match: ["<rootDir>/packages/*/test/**/*.test.ts"], timeoutMs: 60_000 },
  e2e: { match: ["<rootDir>/e2e/scenarios/**/*.test.ts"], timeoutMs: 180_000 },
  peers: { match: ["<rootDir>/e2e/peers/**/*.test.ts"], timeoutMs: 180_000 },
  soak: { match: ["<rootDir>/e2e/soak/**/*.test.ts"], timeoutMs: 1_500_000 },
};

const wanted = (process.env.AMBIT_TEST_TIERS ?? "unit").split(",");
const chosen = wanted.map((name) => {
  const tier = TIERS[name];
  if (!tier) throw new Error(`unknown test tier "${name}"; expected one of ${Object.keys(TIERS).join(", ")}`);
  return tier;
});

export default {
  ...preset,
  testMatch: chosen.flatMap((tier) => tier.match),
  testTimeout: Math.max(...chosen.map((tier) => tier.timeoutMs)),
  reporters: ["default", "<rootDir>/scripts/totals-reporter.mjs"],
};
