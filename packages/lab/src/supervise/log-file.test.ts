import { appendFileSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import { boundLogFile, readLogTail } from "./log-file.ts";

const folder = mkdtempSync(join(tmpdir(), "lab-log-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
function fileWith(text: string): string {
  const file = join(folder, `${++count}.log`);
  appendFileSync(file, text);
  return file;
}

describe("readLogTail", () => {
  it.each([
    ["a\nb\nc\n", 2, "b\nc\n"],
    ["a\nb\nc", 2, "b\nc"],
    ["a\nb\n", 5, "a\nb\n"],
    ["a\nb\n", 0, ""],
    ["\n\n\n", 1, "\n"],
    ["", 3, ""],
    ["one", 1, "one"],
  ])("of %j, %d lines, is %j", (text, lines, expected) => {
    expect(readLogTail(fileWith(text), lines).toString()).toBe(expected);
  });

  it("is everything without a count, and nothing of a file that is not there", () => {
    expect(readLogTail(fileWith("a\nb\n"), undefined).toString()).toBe("a\nb\n");
    expect(readLogTail(join(folder, "none"), 3).length).toBe(0);
  });
});

describe("boundLogFile", () => {
  it("keeps one earlier part and goes on in the same file", () => {
    const file = fileWith("x".repeat(100));
    boundLogFile(file, 50);
    expect(statSync(file).size).toBe(0);
    appendFileSync(file, "new\n");
    expect(readLogTail(file, undefined).toString()).toBe(`${"x".repeat(100)}new\n`);
    boundLogFile(file, 50);
    expect(statSync(file).size).toBe(4);
  });
});
