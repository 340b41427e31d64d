import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type LabClient, waitUntilReady } from "@ambit/shared/lab-client";
import { ENVOY_ADMIN_PORT } from "../envoy/static-config.ts";

/** `AMBIT_ENVOY`, or an `envoy` on the PATH. */
export function findEnvoy(env: NodeJS.ProcessEnv): string | undefined {
  const places = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const candidates = env["AMBIT_ENVOY"] ? [env["AMBIT_ENVOY"]] : places.map((folder) => join(folder, "envoy"));
  return candidates.find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs Envoy as the pod of the namespace's waypoint, with the waypoint's identity; returns when it is ready. */
export async function startEnvoy(lab: LabClient, namespace: string, binary: string): Promise<void> {
  const { pods } = await lab.status();
  const server = pods.find((pod) => pod.namespace === namespace && pod.name === "server");
  if (!server) throw new Error(`expected a pod ${namespace}/server`);
  const ours = await waypointEnvironment(lab);
  const env = {
    ENVOY_BINARY: binary,
    XDS_ADDRESS: ours["XDS_ADDRESS"] ?? "",
    XDS_ROOT_CA: ours["XDS_ROOT_CA"] ?? "",
    IDENTITY: `spiffe://${ours["CLUSTER_DOMAIN"]}/ns/${namespace}/sa/waypoint`,
    DESTINATION: `${server.ip}:8080`,
  };
  const pod = podOf(namespace, env);
  const { problems } = await lab.apply([{ name: "envoy-waypoint.json", text: JSON.stringify(pod) }]);
  if (problems.length > 0) throw new Error(`the Envoy pod was refused: ${JSON.stringify(problems)}`);
  await waitUntilReady(lab);
}

/** Where the control plane is, as the lab tells its own waypoint. */
async function waypointEnvironment(lab: LabClient): Promise<Readonly<Record<string, string>>> {
  const [deployment] = await lab.objects({ kind: "Deployment", namespace: "mesh", name: "waypoint" });
  const spec = deployment?.spec as
    | { template?: { spec?: { containers?: { env?: { name: string; value?: string }[] }[] } } }
    | undefined;
  const entries = spec?.template?.spec?.containers?.[0]?.env ?? [];
  return Object.fromEntries(entries.map(({ name, value }) => [name, value ?? ""]));
}

function podOf(namespace: string, env: Readonly<Record<string, string>>): unknown {
  const token = { serviceAccountToken: { audience: "istio-ca", expirationSeconds: 43_200, path: "istio-token" } };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "waypoint-envoy",
      namespace,
      labels: { "gateway.networking.k8s.io/gateway-name": "waypoint", "istio.io/dataplane-mode": "none" },
    },
    spec: {
      nodeName: "node3",
      serviceAccountName: "waypoint",
      containers: [
        {
          name: "envoy",
          image: "none",
          command: ["node", "--conditions=@ambit/source", "$(AMBIT_ROOT)/bench/src/programs/envoy-waypoint.ts"],
          env: Object.entries(env).map(([name, value]) => ({ name, value })),
          readinessProbe: { httpGet: { path: "/ready", port: ENVOY_ADMIN_PORT }, periodSeconds: 1 },
          volumeMounts: [{ name: "istio-token", mountPath: "/var/run/secrets/tokens", readOnly: true }],
        },
      ],
      volumes: [{ name: "istio-token", projected: { sources: [token] } }],
    },
  };
}
