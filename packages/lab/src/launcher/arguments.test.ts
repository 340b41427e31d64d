import { describe, expect, it } from "@jest/globals";
import { parseUpArguments } from "./arguments.ts";

describe("parseUpArguments", () => {
  it("reads everything", () => {
    const args = [
      "--name",
      "a",
      "--state",
      "/s",
      "--objects",
      "/x",
      "--objects",
      "/y",
      "--no-mesh",
      "--ztunnel-env",
      "A=b=c",
      "--control-plane-env",
      "B=",
      "--waypoint-env",
      "C=1",
    ];
    expect(parseUpArguments(args, 0)).toEqual({
      name: "a",
      stateDir: "/s",
      objects: ["/x", "/y"],
      foreground: false,
      mesh: false,
      ztunnelEnv: { A: "b=c" },
      controlPlaneEnv: { B: "" },
      waypointEnv: { C: "1" },
    });
  });

  it("has the state folder of the name by default", () => {
    expect(parseUpArguments(["--name", "a"], 0).stateDir).toBe("/run/ambit/a");
  });

  it("reports all mistakes at once", () => {
    const attempt = (): unknown =>
      parseUpArguments(["--nmae", "x", "--name", "A/..", "extra", "--state", "/a b", "--ztunnel-env", "nothing"], 0);
    for (const part of ["--nmae", '"A/.."', '"extra"', '"nothing"', '"/a b"']) expect(attempt).toThrow(part);
  });
});
