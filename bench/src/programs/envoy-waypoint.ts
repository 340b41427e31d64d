/**
 * Becomes an Envoy in a waypoint's place: asks the mesh's CA for the certificate of its pod's service account, writes a static
 * configuration that does what a waypoint does for one service with one route, and replaces itself with Envoy (one worker).
 *
 * Environment: ENVOY_BINARY, XDS_ADDRESS, XDS_ROOT_CA, AMBIT_TOKEN_FILE, IDENTITY (`spiffe://...`), DESTINATION (`IP:PORT`).
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createGrpcIssuer, createSecretManager } from "@ambit/shared/ca";
import type { SpiffeUri } from "@ambit/shared/identity";
import { systemClock, systemRandom } from "@ambit/shared/time";
import type { IdentityMaterial } from "@ambit/shared/tls";
import { envoyConfig } from "../envoy/static-config.ts";

const CERTIFICATE_SECONDS = 24 * 3600;
const { env } = process;
const need = (name: string): string => {
  const value = env[name];
  if (!value) throw new Error(`expected ${name} in the environment`);
  return value;
};

function certificate(): Promise<IdentityMaterial> {
  const { hostname, port } = new URL(need("XDS_ADDRESS"));
  const access = {
    endpoint: { host: hostname, port: Number(port) },
    rootCa: need("XDS_ROOT_CA"),
    headers: {},
    authToken: need("AMBIT_TOKEN_FILE"),
    clusterId: "Kubernetes",
  };
  return new Promise((resolve, reject) => {
    createSecretManager({
      issuer: createGrpcIssuer({ access, asksFor: "own" }),
      clock: systemClock,
      random: systemRandom,
      ttlSeconds: CERTIFICATE_SECONDS,
      onState: (_identity, state) => {
        if (state.kind === "available") resolve(state.material);
        if (state.kind === "unavailable") reject(new Error(state.message));
      },
    }).want(need("IDENTITY") as SpiffeUri, "demand");
  });
}

const material = await certificate();
const folder = mkdtempSync(join(tmpdir(), "ambit-bench-envoy-"));
const write = (name: string, text: string): string => {
  const file = join(folder, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
};
const config = envoyConfig({
  destination: need("DESTINATION"),
  trustDomain: new URL(material.identity).hostname,
  files: {
    key: write("key.pem", material.keyPem),
    chain: write("chain.pem", material.chainPem),
    roots: write("roots.pem", material.rootsPem),
  },
});
const binary = need("ENVOY_BINARY");
const args = ["-c", write("envoy.json", JSON.stringify(config, null, 1)), "--concurrency", "1", "-l", "warn"];
process.execve?.(binary, [binary, ...args], env);
