import { describe, expect, it } from "@jest/globals";
import { claimValues } from "./claim-values.ts";

describe("claimValues", () => {
  const claims = JSON.parse('{"a":"x","list":["x",1,"y"],"n":1,"deep":{"er":"z"},"__proto__":"p"}') as Record<
    string,
    unknown
  >;
  it.each([
    [["a"], ["x"]],
    [["list"], ["x", "y"]],
    [["n"], []],
    [["deep", "er"], ["z"]],
    [["deep"], []],
    [["a", "length"], []],
    [["list", "0"], []],
    [["none", "er"], []],
    [["constructor", "name"], []],
    [["__proto__"], ["p"]],
    [["toString"], []],
  ])("%j has %j", (path, expected) => {
    expect(claimValues(claims, path)).toEqual(expected);
  });

  it("is empty without a token", () => {
    expect(claimValues(undefined, ["a"])).toEqual([]);
  });
});
