/** The objects of the tests with Envoy as waypoint. */
import { generateKeyPairSync, sign } from "node:crypto";
import { ENVOY_ADMIN_PORT } from "./bootstrap.ts";

const GATEWAY_API = "gateway.networking.k8s.io/v1";
const SECURITY = "security.istio.io/v1";
const ISSUER = "https://issuer.example";
const TOKEN_SECONDS = 43_200;

export const toService = (name: string) => [{ group: "", kind: "Service", name }];

/** An HTTPRoute of service `web`. */
export const httpRoute = (rules: readonly object[]) => ({
  apiVersion: GATEWAY_API,
  kind: "HTTPRoute",
  metadata: { name: "web", namespace: "app" },
  spec: { parentRefs: [{ group: "", kind: "Service", name: "web", port: 80 }], rules },
});

export const policy = (name: string, spec: object) => ({
  apiVersion: SECURITY,
  kind: "AuthorizationPolicy",
  metadata: { name, namespace: "app" },
  spec,
});

/** A DestinationRule of service `web`. */
export const trafficRule = (trafficPolicy: object) => ({
  apiVersion: "networking.istio.io/v1",
  kind: "DestinationRule",
  metadata: { name: "web", namespace: "app" },
  spec: { host: "web", trafficPolicy },
});

/** One more service of the pods of `web`. */
export const webService = (name: string, port: object) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "app" },
  spec: { selector: { app: "web" }, ports: [port] },
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

/** A RequestAuthentication of service `web`, and who makes tokens that it believes. */
export function tokenRules() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = { ...publicKey.export({ format: "jwk" }), kid: "k1", use: "sig", alg: "ES256" };
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const object = {
    apiVersion: SECURITY,
    kind: "RequestAuthentication",
    metadata: { name: "tokens", namespace: "app" },
    spec: { targetRefs: toService("web"), jwtRules: [{ issuer: ISSUER, jwks: JSON.stringify({ keys: [key] }) }] },
  };
  /** For `alice`, for ten minutes, unless told otherwise. */
  const token = (claims: object = {}, header: object = { alg: "ES256", kid: "k1", typ: "JWT" }): string => {
    const usual = { iss: ISSUER, sub: "alice", exp: Math.floor(Date.now() / 1000) + 600 };
    const signed = `${encode(header)}.${encode({ ...usual, ...claims })}`;
    const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
    return `${signed}.${signature.toString("base64url")}`;
  };
  return { object, principal: `${ISSUER}/alice`, token };
}

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
