/** The pod of a waypoint's Deployment. Parity: Istio's waypoint template. */
import { Port } from "../net/index.ts";
import { annotationsOf, labelsOf } from "./accessors.ts";
import type { KubeObject } from "./model.ts";
import type { Labels } from "./selector.ts";

const PROXY_IMAGE = "sidecar.istio.io/proxyImage";
export const WAYPOINT_CONTAINER = "istio-proxy";
const PROXY_USER = 1337;
const GRACE_SECONDS = 30;
/** A client learns of a pod's end by an object change and one push of the control plane: well below a second. */
const PRE_STOP_SECONDS = 2;
const TOKEN_SECONDS = 43_200;

type Fields = Readonly<Record<string, unknown>>;

/** What differs between the places a waypoint runs in. */
export interface WaypointRuntime {
  readonly image: string;
  /** In place of the image's entry point; the lab has only this. */
  readonly command?: readonly string[];
  /** `https://HOST:PORT`: xDS and certificates. */
  readonly controlPlane: string;
  /** Paths as the container sees them; may refer to its environment as `$(NAME)`. */
  readonly rootCertificate: string;
  readonly token: string;
  readonly clusterDomain: string;
  /** More variables; they come last and win. */
  readonly env: Readonly<Record<string, string>>;
}

/** In a cluster: our image, and the control plane where Istio's is. */
export const CLUSTER_RUNTIME: WaypointRuntime = {
  image: "ambit/waypoint:0.1.0",
  controlPlane: `https://istiod.istio-system.svc:${Port.CONTROL_PLANE}`,
  rootCertificate: "/var/run/secrets/istio/root-cert.pem",
  token: "/var/run/secrets/tokens/istio-token",
  clusterDomain: "cluster.local",
  // glibc: one arena for all threads, and no trimming of the heap that a busy proxy takes again at once.
  env: { MALLOC_ARENA_MAX: "1", MALLOC_TRIM_THRESHOLD_: "67108864" },
};

/** What every part of a rendered waypoint is made from. */
export interface WaypointFacts {
  readonly gateway: KubeObject;
  readonly runtime: WaypointRuntime;
  readonly name: string;
  readonly account: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly replicas: number;
}

/** `spec.template` of the Deployment. */
export const podTemplate = (facts: WaypointFacts): Fields => ({
  metadata: { labels: podLabels(facts), annotations: podAnnotations(facts) },
  spec: podSpec(facts),
});

const podLabels = ({ name, labels }: WaypointFacts): Labels => ({
  ...labels,
  "sidecar.istio.io/inject": "false",
  "service.istio.io/canonical-name": name,
  "service.istio.io/canonical-revision": "latest",
});

const podAnnotations = ({ gateway, annotations }: WaypointFacts): Labels => ({
  ...annotations,
  "istio.io/rev": labelsOf(gateway)["istio.io/rev"] || "default",
  "prometheus.io/path": "/stats/prometheus",
  "prometheus.io/port": String(Port.METRICS),
  "prometheus.io/scrape": "true",
});

function podSpec(facts: WaypointFacts): Fields {
  return {
    serviceAccountName: facts.account,
    terminationGracePeriodSeconds: GRACE_SECONDS,
    // It asks the control plane, never the API server.
    automountServiceAccountToken: false,
    // Variables named after other services could be taken for settings.
    enableServiceLinks: false,
    containers: [container(facts)],
    volumes: [
      {
        name: "istio-token",
        projected: {
          sources: [
            { serviceAccountToken: { audience: "istio-ca", expirationSeconds: TOKEN_SECONDS, path: "istio-token" } },
          ],
        },
      },
      { name: "istiod-ca-cert", configMap: { name: "istio-ca-root-cert" } },
    ],
  };
}

function container(facts: WaypointFacts): Fields {
  const { gateway, runtime } = facts;
  const ready = { httpGet: { path: "/healthz/ready", port: Port.READINESS } };
  return {
    name: WAYPOINT_CONTAINER,
    image: annotationsOf(gateway)[PROXY_IMAGE] || runtime.image,
    ...(runtime.command ? { command: runtime.command } : {}),
    ports: [
      { name: "metrics", containerPort: Port.METRICS, protocol: "TCP" },
      { name: "status-port", containerPort: Port.READINESS, protocol: "TCP" },
    ],
    env: environment(facts),
    startupProbe: { ...ready, periodSeconds: 1, failureThreshold: 30 },
    readinessProbe: { ...ready, periodSeconds: 3, failureThreshold: 3 },
    lifecycle: { preStop: { sleep: { seconds: PRE_STOP_SECONDS } } },
    resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { cpu: "2", memory: "1Gi" } },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsGroup: PROXY_USER,
      runAsNonRoot: true,
      runAsUser: PROXY_USER,
    },
    volumeMounts: [
      { name: "istio-token", mountPath: "/var/run/secrets/tokens", readOnly: true },
      { name: "istiod-ca-cert", mountPath: "/var/run/secrets/istio", readOnly: true },
    ],
  };
}

function environment({ gateway, runtime, account }: WaypointFacts): readonly Fields[] {
  const field = (name: string, fieldPath: string): Fields => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const values: Readonly<Record<string, string>> = {
    SERVICE_ACCOUNT: account,
    GATEWAY_NAME: gateway.metadata.name,
    XDS_ADDRESS: runtime.controlPlane,
    CA_ADDRESS: runtime.controlPlane,
    XDS_ROOT_CA: runtime.rootCertificate,
    CA_ROOT_CA: runtime.rootCertificate,
    AUTH_TOKEN: runtime.token,
    CLUSTER_DOMAIN: runtime.clusterDomain,
    TERMINATION_GRACE_PERIOD_SECONDS: String(GRACE_SECONDS),
    ...runtime.env,
  };
  return [
    field("POD_NAME", "metadata.name"),
    field("POD_NAMESPACE", "metadata.namespace"),
    field("NODE_NAME", "spec.nodeName"),
    field("INSTANCE_IP", "status.podIP"),
    ...Object.entries(values).map(([name, value]) => ({ name, value })),
  ];
}
