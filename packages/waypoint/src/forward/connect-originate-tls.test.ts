import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { namesMatch, presentedNames } from "./connect-originate-tls.ts";

describe("namesMatch", () => {
  it.each([
    ["a.test", "a.test", true],
    ["A.Test", "a.tesT.", true],
    ["a.test", "b.test", false],
    ["x.a.test", "*.a.test", true],
    ["*.a.test", "x.a.test", true],
    ["*.a.test", "*.a.test", true],
    ["a.test", "*.a.test", false],
    ["y.x.a.test", "*.a.test", false],
    ["a.test", "*.test", false],
    ["a.test", "*", false],
    ["xa.test", "x*.test", false],
    ["10.0.0.1", "10.0.0.1", true],
    ["10.0.0.1", "*.0.0.1", false],
    ["spiffe://a/ns/b/sa/c", "spiffe://a/ns/b/sa/c", true],
    ["spiffe://a/ns/b/sa/c", "SPIFFE://a/ns/b/sa/c", false],
    ["", "", false],
    [".a.test", "*.a.test", false],
  ])("%s and %s: %s", (expected, presented, matches) => {
    expect(namesMatch(expected, presented)).toBe(matches);
  });

  it("means the same whichever side has the wildcard", () => {
    const name = fc
      .array(fc.constantFrom("*", "a", "b", "test"), { minLength: 1, maxLength: 4 })
      .map((labels) => labels.join("."));
    fc.assert(fc.property(name, name, (a, b) => expect(namesMatch(a, b)).toBe(namesMatch(b, a))));
  });
});

describe("presentedNames", () => {
  it.each([
    ["DNS:a.test, IP Address:10.0.0.1, URI:spiffe://a/b", ["a.test", "10.0.0.1", "spiffe://a/b"]],
    ["email:x@y.z, DNS:a.test", ["a.test"]],
    ['DNS:"a, DNS:evil.test, b", DNS:c.test', ["c.test"]],
    ['DNS:"a\\", DNS:evil.test, \\"b", DNS:c.test', ["c.test"]],
    ['othername:"x, DNS:evil.test", DNS:c.test', ["c.test"]],
    ["", []],
    ["DNS:", []],
    ['DNS:a.test, broken"', ["a.test"]],
  ])("reads %j", (text, names) => {
    expect(presentedNames(text)).toEqual(names);
  });
});
