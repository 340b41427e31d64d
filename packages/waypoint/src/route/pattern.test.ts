import { ErrorCode } from "@ambit/shared/errors";
import { describe, expect, it } from "@jest/globals";
import { compilePattern, MAX_PATTERN_LENGTH } from "./pattern.ts";

const replacer = (pattern: string, substitution: string) => {
  const compiled = compilePattern(pattern);
  if (!compiled.ok) throw new Error(compiled.error);
  return compiled.value.replacer(substitution);
};
const replaced = (pattern: string, substitution: string, text: string): string => {
  const replace = replacer(pattern, substitution);
  if (!replace.ok) throw new Error(replace.error);
  return replace.value(text);
};

describe("replacer", () => {
  it.each([
    ["what istiod writes for ReplacePrefixMatch to /", "^/one(/?)(.*)", "/\\2", "/one/two", "/two"],
    ["the same for the prefix alone", "^/one(/?)(.*)", "/\\2", "/one", "/"],
    ["what istiod writes for ReplaceFullPath", "/.*", "/new", "/a/b", "/new"],
    ["every match", "a", "b", "xaxa", "xbxb"],
    ["no match", "a", "b", "xyz", "xyz"],
    ["an empty match once", ".*", "x", "abc", "x"],
    ["an empty match in an empty text", ".*", "x", "", "x"],
    ["group 0", "b", "[\\0]", "abc", "a[b]c"],
    ["a group that took no part", "(x)?b", "<\\1>", "ab", "a<>"],
    ["a backslash", "b", "\\\\", "abc", "a\\c"],
    ["a dollar is literal", "(b)", "$1", "abc", "a$1c"],
  ])("%s", (_, pattern, substitution, text, expected) => {
    expect(replaced(pattern, substitution, text)).toBe(expected);
  });

  it.each([
    ["a group that is not there", "\\1"],
    ["a lone backslash", "a\\"],
    ["another escape", "\\n"],
    ["a text beyond the bound", "a".repeat(MAX_PATTERN_LENGTH + 1)],
  ])("refuses %s", (_, substitution) => {
    expect(replacer("b", substitution).ok).toBe(false);
  });

  it("does not let a short path become a long one without end", () => {
    expect(() => replaced("a", "b".repeat(4000), "a".repeat(4000))).toThrow(
      expect.objectContaining({ code: ErrorCode.REQUEST_LIMIT_EXCEEDED }),
    );
  });
});
