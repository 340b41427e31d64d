import { describe, expect, it } from "@jest/globals";
import { parseConfig } from "./index.ts";

const MINIMAL = { AMBIT_OBJECTS: "folder:/objects", AMBIT_STATE_DIR: "/state", AMBIT_JOIN_TOKENS: "/tokens.json" };

describe("parseConfig", () => {
  it("needs three values and has defaults for the rest", () => {
    const config = parseConfig(MINIMAL);
    expect(config).toMatchObject({
      ok: true,
      value: {
        objectsFolder: "/objects",
        listen: { ip: "0.0.0.0", port: 15012 },
        admin: { ip: "127.0.0.1", port: 15014 },
        maxCertificateTtlMs: 86_400_000,
        mesh: { trustDomain: "cluster.local", rootNamespace: "istio-system", network: "" },
      },
    });
  });

  it.each([
    ["10.0.0.1:15012", { ip: "10.0.0.1", port: 15012 }],
    ["[fd00::1]:0", { ip: "fd00::1", port: 0 }],
    ["127.0.0.1:65536", undefined],
    ["127.0.0.1", undefined],
    ["localhost:1", undefined],
    ["fd00::1:1", undefined],
  ])("reads AMBIT_LISTEN=%s as %j", (text, expected) => {
    const config = parseConfig({ ...MINIMAL, AMBIT_LISTEN: text });
    expect(config.ok ? config.value.listen : undefined).toEqual(expected);
  });

  it("reports every mistake at once, with name, value and reason", () => {
    const config = parseConfig({
      AMBIT_OBJECTS: "/objects",
      AMBIT_JOIN_TOKENS: "/tokens.json",
      AMBIT_LISTEN: "everywhere",
      AMBIT_ADMIN: "0.0.0.0:15014",
      AMBIT_LISTN: "x",
      TRUST_DOMAIN: "Not A Domain",
      LOG_FORMAT: "xml",
    });
    const names = config.ok ? [] : config.error.map((mistake) => mistake.name);
    expect(new Set(names)).toEqual(
      new Set([
        "AMBIT_OBJECTS",
        "AMBIT_STATE_DIR",
        "AMBIT_LISTEN",
        "AMBIT_ADMIN",
        "AMBIT_LISTN",
        "TRUST_DOMAIN",
        "LOG_FORMAT",
      ]),
    );
    expect(!config.ok && config.error.find((mistake) => mistake.name === "AMBIT_ADMIN")).toMatchObject({
      value: "0.0.0.0:15014",
      reason: expect.stringContaining("loopback"),
    });
  });
});
