import { describe, expect, it } from "@jest/globals";
import { configError } from "./config-error.ts";
import { parseDuration } from "./duration.ts";
import { EnvReader } from "./read-env.ts";

describe("parseDuration", () => {
  it.each([
    ["5s", 5000],
    ["1m30s", 90_000],
    ["24h", 86_400_000],
    ["100ms", 100],
    ["1.5s", 1500],
    ["0", 0],
    ["0s", 0],
  ])("reads %s as %d ms", (text, ms) => {
    expect(parseDuration(text)).toEqual({ ok: true, value: ms });
  });

  it.each(["", "5", "s", "-5s", "5 s", "5s!", "1e3s", "5d", "99999999h", "5sx5s"])("refuses %j", (text) => {
    expect(parseDuration(text).ok).toBe(false);
  });
});

describe("EnvReader", () => {
  it("takes a blank value as unset", () => {
    const reader = new EnvReader({ A: "", B: "  ", C: "x" });
    expect([reader.text("A", "a"), reader.boolean("B", true), reader.optionalText("C")]).toEqual(["a", true, "x"]);
    expect(reader.mistakes()).toEqual([]);
  });

  it("collects every mistake with name, value and reason, and goes on with the default", () => {
    const reader = new EnvReader({ A: "yes", B: "12x", C: "5", D: "blue", E: "1000" });
    expect(reader.boolean("A", false)).toBe(false);
    expect(reader.integer("B", 7, { min: 0, max: 9 })).toBe(7);
    expect(reader.durationMs("C", 1)).toBe(1);
    expect(reader.oneOf("D", ["plain", "json"], "plain")).toBe("plain");
    expect(reader.integer("E", 8, { min: 0, max: 9 })).toBe(8);
    expect(reader.mistakes().map(({ name, value }) => [name, value])).toEqual([
      ["A", "yes"],
      ["B", "12x"],
      ["C", "5"],
      ["D", "blue"],
      ["E", "1000"],
    ]);
  });

  it("reports an unknown AMBIT_ variable with the nearest known name, and leaves others alone", () => {
    const reader = new EnvReader({ AMBIT_OBJECT: "x", AMBIT_WHOLLY_DIFFERENT_THING: "1", PATH: "/bin" });
    reader.optionalText("AMBIT_OBJECTS");
    expect(reader.mistakes()).toEqual([
      { name: "AMBIT_OBJECT", value: "x", reason: "unknown variable; did you mean AMBIT_OBJECTS?" },
      { name: "AMBIT_WHOLLY_DIFFERENT_THING", value: "1", reason: "unknown variable" },
    ]);
  });

  it("never shows a secret's value", () => {
    const reader = new EnvReader({ AMBIT_TOKEN: "hunter2" });
    expect(configError(reader.mistakes()).message).not.toContain("hunter2");
  });

  it("lists all mistakes in one CONFIG_INVALID error", () => {
    const error = configError([
      { name: "A", value: "1", reason: "no" },
      { name: "B", value: "x\ny", reason: "never" },
    ]);
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message).toBe('the configuration has 2 mistakes\n  A="1": no\n  B="x\\ny": never');
  });
});
