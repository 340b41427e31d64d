import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";

const ROOT = new URL("../../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), "utf8");
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const CASES = range(1, 64);
/** `| 11 | what | \`file\`, \`file\` |` of docs/testing.md. */
const ROW = /^\| (\d+) \| [^|]+ \| (.+) \|$/gm;

describe("the table of known attacks and faults in docs/testing.md", () => {
  const rows = new Map([...read("docs/testing.md").matchAll(ROW)].map(([, number, files]) => [Number(number), files]));

  it.each(CASES)("has tests named after case %i in every file of its row", (number) => {
    const files = [...(rows.get(number) ?? "").matchAll(/`([^`]+)`/g)].map(([, file = ""]) => file);
    expect(files).not.toEqual([]);
    const named = new RegExp(`["'\`]case ${number}: `);
    expect(files.filter((file) => !named.test(read(file)))).toEqual([]);
  });
});
