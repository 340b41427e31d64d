/**
 * Shared Jest settings. Jest 30.5 strips the types itself when no transform claims a `.ts` file,
 * so what runs is what is in the file (ADR 0002).
 */
export const preset = {
  rootDir: import.meta.dirname,
  testEnvironment: "node",
  testEnvironmentOptions: { customExportConditions: ["@ambit/source", "node", "node-addons"] },
  transform: {},
  extensionsToTreatAsEsm: [".ts"],
  moduleFileExtensions: ["ts", "mjs", "js", "json", "node"],
  modulePathIgnorePatterns: ["<rootDir>/packages/[^/]+/dist/", "<rootDir>/(e2e|bench)/dist/"],
  watchman: false,
};
