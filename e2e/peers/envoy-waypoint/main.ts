/**
 * An Envoy in a waypoint's place, run as the process of a pod: gets the certificate of the pod's service account as an agent
 * would, serves it to Envoy, and starts Envoy against the control plane.
 *
 * Environment: ENVOY_BINARY, XDS_ADDRESS (`https://HOST:PORT`), XDS_ROOT_CA, AMBIT_TOKEN_FILE, POD_NAME, POD_NAMESPACE,
 * POD_ADDRESS, SERVICE_ACCOUNT, GATEWAY_NAME, CLUSTER_DOMAIN, TRUST_DOMAIN.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createGrpcIssuer, createSecretManager } from "@ambit/shared/ca";
import type { SpiffeUri } from "@ambit/shared/identity";
import { systemClock, systemRandom } from "@ambit/shared/time";
import type { IdentityMaterial } from "@ambit/shared/tls";
import { bootstrap } from "./bootstrap.ts";
import { type SecretsServer, serveSecrets } from "./secrets.ts";

const CERTIFICATE_SECONDS = 24 * 3600;

const need = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`expected ${name} in the environment`);
  return value;
};

const { hostname, port } = new URL(need("XDS_ADDRESS"));
const controlPlane = { host: hostname, port: Number(port) };
const [namespace, serviceAccount] = [need("POD_NAMESPACE"), need("SERVICE_ACCOUNT")];
const identity = `spiffe://${need("TRUST_DOMAIN")}/ns/${namespace}/sa/${serviceAccount}` as SpiffeUri;

/** Resolves with the first certificate; later ones go to `onRenewed`. */
function certificate(onRenewed: (material: IdentityMaterial) => void): Promise<IdentityMaterial> {
  const access = {
    endpoint: controlPlane,
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
        if (state.kind === "unavailable") reject(new Error(state.message));
        if (state.kind !== "available") return;
        resolve(state.material);
        onRenewed(state.material);
      },
    }).want(identity, "demand");
  });
}

// With the lab's own files, which go with the lab: this process is killed with it, and removes nothing then.
const folder = mkdtempSync(join(dirname(need("AMBIT_TOKEN_FILE")), ".envoy-"));
let secrets: SecretsServer | undefined;
const material = await certificate((renewed) => secrets?.replace(renewed));
const secretsSocket = join(folder, "sds.sock");
secrets = await serveSecrets(secretsSocket, material);

const config = bootstrap({
  pod: need("POD_NAME"),
  namespace,
  serviceAccount,
  ip: need("POD_ADDRESS"),
  gateway: need("GATEWAY_NAME"),
  clusterDomain: need("CLUSTER_DOMAIN"),
  controlPlane,
  roots: readFileSync(need("XDS_ROOT_CA"), "utf8"),
  token: readFileSync(need("AMBIT_TOKEN_FILE"), "utf8").trim(),
  secretsSocket,
});
const file = join(folder, "envoy.json");
writeFileSync(file, JSON.stringify(config), { mode: 0o600 });

// No shared memory between generations: nothing here restarts Envoy hot, and other Envoys may run on this machine.
const args = [
  "-c",
  file,
  "--concurrency",
  "1",
  "--log-level",
  process.env["ENVOY_LOG"] ?? "warning",
  "--disable-hot-restart",
];
const envoy = spawn(need("ENVOY_BINARY"), args, { stdio: "inherit" });
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => envoy.kill(signal));
const end = (code: number): void => {
  rmSync(folder, { recursive: true, force: true });
  process.exit(code);
};
envoy.on("error", (error) => {
  process.stderr.write(`${error.message}\n`);
  end(1);
});
envoy.on("exit", (code) => end(code ?? 1));
