import { readFileSync } from "node:fs";

/** The version of this package. */
export function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** The `version` part of `/config_dump`: ztunnel's keys, filled with what we are. */
export function versionInfo(version: string): Readonly<Record<string, string>> {
  return {
    version,
    gitRevision: "unknown",
    rustVersion: `none, node ${process.version}`,
    buildProfile: "release",
    buildStatus: "unknown",
    istioVersion: process.env["ISTIO_META_ISTIO_VERSION"] ?? "unknown",
    cryptoProvider: `openssl ${process.versions.openssl}`,
  };
}
