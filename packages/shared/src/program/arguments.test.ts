import { nodeWarning } from "@ambit/shared/lifecycle";
import { describe, expect, it } from "@jest/globals";
import { parseProxyArguments } from "./arguments.ts";

describe("parseProxyArguments", () => {
  it.each([
    [[], "proxy"],
    [["proxy"], "proxy"],
    [["proxy", "ztunnel"], "proxy"],
    [["version"], "version"],
    [["--help"], "help"],
    [["proxy", "-h"], "help"],
  ] as const)("takes %j as %s", (args, command) => {
    expect(parseProxyArguments("ztunnel", args)).toEqual({ ok: true, value: command });
  });

  it("names every unknown flag and argument, with the nearest known one", () => {
    expect(parseProxyArguments("ztunnel", ["prxy", "--log-level=debug", "--halp"])).toEqual({
      ok: false,
      error: [
        { name: "prxy", value: "", reason: "unknown argument; did you mean proxy?" },
        { name: "--log-level", value: "debug", reason: "unknown flag" },
        { name: "--halp", value: "", reason: "unknown flag; did you mean --help?" },
      ],
    });
  });
});

describe("nodeWarning", () => {
  it.each([
    ["v26.10.0", false],
    ["v26.3.0", false],
    ["v26.2.9", true],
    ["v22.0.0", true],
    ["v27.0.0", false],
  ])("for Node %s is given: %s", (version, given) => {
    expect(nodeWarning(version) !== undefined).toBe(given);
  });
});
