/** Objects of the tests with Envoy as waypoint only. */
import { ENVOY_ADMIN_PORT } from "./bootstrap.ts";

const TOKEN_SECONDS = 43_200;

/** A DestinationRule of service `web`. */
export const trafficRule = (trafficPolicy: object) => ({
  apiVersion: "networking.istio.io/v1",
  kind: "DestinationRule",
  metadata: { name: "web", namespace: "app" },
  spec: { host: "web", trafficPolicy },
});

/** A pod that sends back what it is sent, and its service, of TCP. */
export const echoObjects = (): readonly object[] => [
  {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "echo", namespace: "app", labels: { app: "echo" } },
    spec: {
      nodeName: "node2",
      containers: [
        {
          name: "echo",
          image: "none",
          command: ["node", "$(AMBIT_ROOT)/packages/testing/src/programs/server.ts"],
          readinessProbe: { tcpSocket: { port: 7001 }, periodSeconds: 1 },
        },
      ],
    },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "echo", namespace: "app" },
    spec: { selector: { app: "echo" }, ports: [{ name: "tcp", port: 80, targetPort: 7001 }] },
  },
];

interface EnvoyPodInit {
  readonly name: string;
  readonly namespace: string;
  readonly binary: string;
  /** What the lab made for the Gateway `waypoint`; its container knows where the control plane is. */
  readonly deployment: { readonly spec?: unknown };
}

interface PodSpec {
  readonly template?: { readonly spec?: { readonly containers?: readonly { readonly env?: readonly EnvEntry[] }[] } };
}

interface EnvEntry {
  readonly name: string;
  readonly value?: string;
}

/** A pod that the Service of Gateway `waypoint` selects, and that runs Envoy under the waypoint's account. */
export function envoyPod({ name, namespace, binary, deployment }: EnvoyPodInit): object {
  const entries = (deployment.spec as PodSpec | undefined)?.template?.spec?.containers?.[0]?.env ?? [];
  const given = entries.filter((entry) => ["XDS_ADDRESS", "XDS_ROOT_CA", "CLUSTER_DOMAIN"].includes(entry.name));
  const value = (variable: string, text: string): EnvEntry => ({ name: variable, value: text });
  const field = (variable: string, fieldPath: string) => ({ name: variable, valueFrom: { fieldRef: { fieldPath } } });
  const token = {
    serviceAccountToken: { audience: "istio-ca", expirationSeconds: TOKEN_SECONDS, path: "istio-token" },
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      labels: { "gateway.networking.k8s.io/gateway-name": "waypoint", "istio.io/dataplane-mode": "none" },
    },
    spec: {
      nodeName: "node1",
      serviceAccountName: "waypoint",
      containers: [
        {
          name: "envoy",
          image: "none",
          command: ["node", "--conditions=@ambit/source", "$(AMBIT_ROOT)/e2e/peers/envoy-waypoint/main.ts"],
          env: [
            ...given,
            value("ENVOY_BINARY", binary),
            value("GATEWAY_NAME", "waypoint"),
            value("TRUST_DOMAIN", "cluster.local"),
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("POD_ADDRESS", "status.podIP"),
            field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
          ],
          readinessProbe: { httpGet: { path: "/ready", port: ENVOY_ADMIN_PORT }, periodSeconds: 1 },
          volumeMounts: [{ name: "istio-token", mountPath: "/var/run/secrets/tokens", readOnly: true }],
        },
      ],
      volumes: [{ name: "istio-token", projected: { sources: [token] } }],
    },
  };
}
