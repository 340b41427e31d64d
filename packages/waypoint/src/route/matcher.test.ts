import { ErrorCode } from "@ambit/shared/errors";
import { describe, expect, it } from "@jest/globals";
import { headerMatcher, type RepeatedFields, type StringSpec, stringMatcher, valuesOf } from "./matcher.ts";
import { MAX_PATTERN_LENGTH } from "./pattern.ts";
import { wireText } from "./wire-text.ts";

const compiled = (spec: StringSpec) => {
  const matcher = stringMatcher(spec);
  if (!matcher.ok) throw new Error(matcher.error);
  return matcher.value;
};
const exact = (text: string, ignoreCase = false) => compiled({ kind: "exact", text, ignoreCase });

describe("stringMatcher", () => {
  it.each<[string, StringSpec, string, boolean]>([
    ["exact", { kind: "exact", text: "a" }, "a", true],
    ["exact is the whole text", { kind: "exact", text: "a" }, "ab", false],
    ["exact of nothing", { kind: "exact", text: "" }, "", true],
    ["exact minds case", { kind: "exact", text: "a" }, "A", false],
    ["exact ignoring case", { kind: "exact", text: "Ab", ignoreCase: true }, "aB", true],
    ["prefix", { kind: "prefix", text: "/a" }, "/ab", true],
    ["prefix elsewhere", { kind: "prefix", text: "/a" }, "x/a", false],
    ["suffix", { kind: "suffix", text: ".com" }, "a.com", true],
    ["suffix elsewhere", { kind: "suffix", text: ".com" }, "a.com.", false],
    ["contains", { kind: "contains", text: "b" }, "abc", true],
    ["contains ignoring case", { kind: "contains", text: "B", ignoreCase: true }, "abc", true],
    ["pattern of the whole text", { kind: "pattern", pattern: "a+" }, "aaa", true],
    ["pattern does not search", { kind: "pattern", pattern: "a+" }, "baaa", false],
    ["pattern minds the end", { kind: "pattern", pattern: "a+" }, "aaa\n", false],
    ["pattern that chooses its case", { kind: "pattern", pattern: "(?i)a" }, "A", true],
    ["case 34: a dot in exact text is a dot", { kind: "exact", text: "a.c" }, "abc", false],
  ])("%s", (_, spec, text, expected) => {
    expect(compiled(spec).matches(text)).toBe(expected);
  });

  it("folds ASCII only: the Kelvin sign is not a k", () => {
    expect(exact("k", true).matches("\u212a")).toBe(false);
  });

  it.each<[string, StringSpec]>([
    ["an empty prefix", { kind: "prefix", text: "" }],
    ["an empty suffix", { kind: "suffix", text: "" }],
    ["an empty contains", { kind: "contains", text: "" }],
    ["a text beyond the bound", { kind: "exact", text: "a".repeat(70_000) }],
    ["a broken pattern", { kind: "pattern", pattern: "(" }],
    ["a back-reference", { kind: "pattern", pattern: "(a)\\1" }],
    ["a look-ahead", { kind: "pattern", pattern: "a(?=b)" }],
    ["case 35: a pattern beyond the bound", { kind: "pattern", pattern: "a".repeat(MAX_PATTERN_LENGTH + 1) }],
    ["case 35: many counted repetitions", { kind: "pattern", pattern: "a{100}b".repeat(50) }],
    ["case 35: a nest of counted repetitions", { kind: "pattern", pattern: "(a{30}){30}b(c{30}){30}d(e{60}){60}" }],
  ])("refuses %s", (_, spec) => {
    expect(stringMatcher(spec).ok).toBe(false);
  });

  it.each(["(a+)+$", "^(a|a?)+$", "(.*)*x", "(x+x+)+y"])("case 35: %s takes linear time", (pattern) => {
    const started = performance.now();
    expect(compiled({ kind: "pattern", pattern }).matches(`${"a".repeat(60_000)}!`)).toBe(false);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it("case 35: throws rather than answers when a match would cost too much", () => {
    const matcher = compiled({ kind: "pattern", pattern: "[ab]*a[ab]{900}c" });
    expect(() => matcher.matches("ab".repeat(20_000))).toThrow(
      expect.objectContaining({ code: ErrorCode.REQUEST_LIMIT_EXCEEDED, origin: "downstream" }),
    );
  });

  it("says what it is", () => {
    const sources = [exact("a"), exact("a", true), compiled({ kind: "pattern", pattern: "b" })].map(
      (one) => one.source,
    );
    expect(sources).toEqual(['exact "a"', 'exact "a" ignoring case', 'regex "b"']);
  });
});

describe("headerMatcher", () => {
  const headers = [
    [":authority", "shop.example"],
    ["x-role", "user"],
    ["x-role", "admin"],
    ["x-one", "1"],
  ] as const;

  it.each([
    ["present", { name: "X-One", value: "present" as const }, true],
    ["not present", { name: "x-two", value: "present" as const }, false],
    ["absent", { name: "x-two", value: "absent" as const }, true],
    ["not absent", { name: "x-one", value: "absent" as const }, false],
    ["present, inverted", { name: "x-one", value: "present" as const, invert: true }, false],
    ["absent, inverted", { name: "x-one", value: "absent" as const, invert: true }, true],
    ["a value", { name: "x-one", value: exact("1") }, true],
    ["another value", { name: "x-one", value: exact("2") }, false],
    ["a value, inverted", { name: "x-one", value: exact("1"), invert: true }, false],
    ["a missing field", { name: "x-two", value: exact("") }, false],
    ["a missing field, inverted: still no match", { name: "x-two", value: exact("1"), invert: true }, false],
    ["a missing field as empty", { name: "x-two", value: exact(""), missingAsEmpty: true }, true],
    [
      "a missing field as empty, inverted",
      { name: "x-two", value: exact("1"), invert: true, missingAsEmpty: true },
      true,
    ],
    ["host is the authority", { name: "Host", value: exact("shop.example") }, true],
  ])("%s", (_, spec, expected) => {
    expect(headerMatcher(spec).matches(headers)).toBe(expected);
  });

  it.each<[string, RepeatedFields, string, boolean]>([
    ["joined text equals", "joined", "user,admin", true],
    ["joined text does not equal one value", "joined", "admin", false],
    ["any finds one value", "any", "admin", true],
    ["any finds the joined text", "any", "user,admin", true],
    ["any finds nothing else", "any", "guest", false],
    ["every wants all values", "every", "admin", false],
  ])("case 31: %s", (_, repeated, text, expected) => {
    expect(headerMatcher({ name: "x-role", value: exact(text) }, repeated).matches(headers)).toBe(expected);
  });

  it("case 31: every is met when each value and all joined are", () => {
    const value = compiled({ kind: "pattern", pattern: ".*(user|admin)" });
    expect(headerMatcher({ name: "x-role", value }, "every").matches(headers)).toBe(true);
  });

  it("case 31: a second value does not get around an inverted matcher that refuses", () => {
    const notUser = headerMatcher({ name: "x-role", value: exact("user"), invert: true }, "any");
    expect(notUser.matches(headers)).toBe(true);
    expect(notUser.matches([["x-role", "user"]])).toBe(false);
  });

  it("says what it is", () => {
    const spec = { name: "X-A", value: exact("1"), invert: true, missingAsEmpty: true };
    expect(headerMatcher(spec).source).toBe('x-a not exact "1" (missing counts as empty)');
    expect(headerMatcher({ name: "x-a", value: "present" }).source).toBe("x-a present");
  });
});

it("valuesOf keeps the order of repeated fields", () => {
  expect(
    valuesOf(
      [
        ["a", "1"],
        ["b", "2"],
        ["a", "3"],
      ],
      "a",
    ),
  ).toEqual(["1", "3"]);
});

it("wireText is a character a byte", () => {
  expect(wireText("é")).toBe("\u00c3\u00a9");
  expect(wireText("plain")).toBe("plain");
});
